"""Make a release, or leave nothing: `make release VERSION=x.y.z`, which calls this as scripts/release.py VERSION.

A release is an image built from scratch out of a clean commit, that passes all tests and the golden runs: the image's
tag pipeline:VERSION, releases/VERSION.json, releases/VERSION.cdx.json (CycloneDX) and the git tag vVERSION.
  TESTS   what pytest is given instead of -m "not release", for a trial; releases/VERSION.json tells it
  BASE_IMAGE, BUILD_NETWORK, PIP_CONF, CA_BUNDLE, RUNTIME   as for `make image`
"""

import difflib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).parents[1]
RELEASES = PROJECT / "releases"
LOCKS = ("requirements-cpu", "requirements", "requirements-dev", "requirements-install")
WHOLE_SUITE = "-m 'not release'"
SHOWN = 5  # lines of a long list that an error repeats
PATIENCE = 10  # seconds in which a command that is stopped may come to its own end
# as strict as a container can be started; scripts/run adds what a training needs of the machine
STRICT = ("--rm", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


class Refusal(Exception):
    """Why there is no release: what was expected, what was found, what to do."""


def main(arguments):
    # a job in the background is started with SIGINT ignored, and would hand that on to the commands it is to stop
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that what was begun is taken back
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        if len(arguments) != 1:
            raise Refusal("VERSION: expected one: make release VERSION=x.y.z")
        release(arguments[0])
    except (Refusal, OSError) as error:
        print(f"error: {error}\nNothing was released.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was released.", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def release(version):
    """Check, build, test, train, record, tag: in this order, each only after the one before it."""
    revision = commit_to_release(version)
    engine = ask("scripts/runtime", "engine")
    require_solved_locks()
    tests = os.environ.get("TESTS") or WHOLE_SUITE
    with ExitStack() as stack:
        image = stack.enter_context(candidate(engine, version))
        tester = stack.enter_context(tests_image(engine, version, image))
        record = {
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "revision": revision,
            "image": described(engine, image),
            "base": base(engine),
            "lock": {"name": "requirements.txt", "sha256": sha256((PROJECT / "requirements.txt").read_bytes())},
            "tests": {
                "selection": tests,
                "in_the_image": tested_inside(engine, tester, tests),
                "of_the_image": tested_outside(image),
            },
            "golden": golden(engine, image),
        }
        bill = ask(engine, "run", *STRICT, "--entrypoint", "cat", tester, "/opt/sbom.json").encode() + b"\n"
        record["sbom"] = {"name": f"{version}.cdx.json", "sha256": sha256(bill)}
        if ask("scripts/revision") != revision:
            raise Refusal(
                f"expected the tree to stay at {revision} until the end; it is {ask('scripts/revision')} now."
            )
        publish(engine, image, version, record, bill)
    print(f"released {version}: pipeline:{version}, {tag(version)}, releases/{version}.json. Commit releases/ now.")


# ---- before anything is built ---------------------------------------------------------------------------------------


def commit_to_release(version):
    """The commit the tree is at. Raises Refusal where it, or the version, cannot become a release."""
    if not re.fullmatch(r"\d+\.\d+\.\d+([.-]?(a|b|rc|dev)\d+)?", version):
        raise Refusal(f"VERSION: expected three numbers such as 1.4.0, or 1.4.0-rc1; found {version!r}.")
    revision = ask("scripts/revision")
    if revision == "unknown":
        raise Refusal("expected a git repository with a commit to release; git knows none here.")
    if revision.endswith("-dirty"):
        changed = ask("git", "status", "--porcelain").splitlines()
        raise Refusal(
            f"expected a tree as committed; these files differ or are new:\n{shortened(changed)}\nCommit them."
        )
    if ask("git", "tag", "--list", tag(version)):
        raise Refusal(f"VERSION: {tag(version)} is a tag already, and no release is made twice. Take another number.")
    if found := sorted(RELEASES.glob(f"{version}.*json")):
        raise Refusal(f"{found[0]}: expected no record of {version} while there is no tag {tag(version)}. Remove it.")
    return revision


def require_solved_locks():
    """Solve the .in files again, over the locks as they are. Raises Refusal where a lock does not stay the same."""
    with tempfile.TemporaryDirectory() as folder:
        for name in LOCKS:
            for end in ("in", "txt"):
                shutil.copy(PROJECT / f"{name}.{end}", folder)
        call("scripts/lock", folder, *LOCKS, failed="the .in files could not be solved, by the words above.")
        for name in LOCKS:
            lock = PROJECT / f"{name}.txt"
            solved = (Path(folder) / lock.name).read_text()
            changes = difflib.unified_diff(lock.read_text().splitlines(), solved.splitlines(), n=0, lineterm="")
            if lines := [line for line in changes if not line.startswith(("---", "+++", "@@"))]:
                raise Refusal(
                    f"{lock.name}: expected the lock of {name}.in; solved again, it differs:\n{shortened(lines)}\n"
                    "Call `make lock`, look at what changed and commit it."
                )


# ---- images ---------------------------------------------------------------------------------------------------------


@contextmanager
def candidate(engine, version):
    """Build the image from scratch under a name of its own, which is gone at the end."""
    name = f"pipeline:{version}-candidate"
    options = ["--no-cache", "--build-arg", "PIP_NO_CACHE_DIR=1"]
    if "@sha256:" in ask("scripts/image", "base"):
        options.append("--pull")  # a digest is the same wherever it comes from; a name is not
    with removed(engine, "rmi", name):
        call("scripts/image", "build", engine, name, *options, failed="the image could not be built.", VERSION=version)
        yield name


@contextmanager
def tests_image(engine, version, image):
    """Build the image for the tests on top of the candidate, out of a clone of the commit; it is gone at the end."""
    name = f"pipeline:{version}-tests"
    with tempfile.TemporaryDirectory() as context, removed(engine, "rmi", name):
        ask("git", "clone", "--quiet", ".", f"{context}/tree")
        options = ["--file", "docker/tests.Dockerfile", "--tag", name, "--build-arg", f"IMAGE={image}"]
        if network := os.environ.get("BUILD_NETWORK"):
            options += ["--network", network]
        for secret, variable in (("pip_conf", "PIP_CONF"), ("ca_bundle", "CA_BUNDLE")):
            if path := os.environ.get(variable):
                options += ["--secret", f"id={secret},src={path}"]
        call(
            engine,
            "build",
            *options,
            context,
            failed="the tests' image could not be built.",
            DOCKER_BUILDKIT="1",
        )
        yield name


@contextmanager
def removed(engine, *what):
    """Have the engine remove something at the end, in its own words: rmi NAME takes an image's name away, and the image
    with it where that was its only one."""
    try:
        yield
    finally:
        subprocess.run([engine, *what], cwd=PROJECT, capture_output=True, check=False)


def described(engine, image):
    """Name and digest of an image, and its size in bytes."""
    identity, size = ask(engine, "image", "inspect", "--format", "{{.Id}} {{.Size}}", image).split()
    return {"digest": f"sha256:{identity.removeprefix('sha256:')}", "bytes": int(size), "engine": engine}


def base(engine):
    """Name and digest of what the image was built from: the digest in its name, else the engine's own."""
    name, _, digest = ask("scripts/image", "base").partition("@")
    if not digest:
        digest = described(engine, name)["digest"]
    return {"name": name, "digest": digest}


# ---- checks ---------------------------------------------------------------------------------------------------------


def tested_inside(engine, tester, tests):
    """The last line of pytest, run in the image with what it has, no network and no privileges."""
    memory = ("--shm-size", "2g")  # the databases of the registry's tests lie in it
    with container(engine, tester) as run:
        return summary([*run, *memory, tester, *shlex.split(tests)], "a test failed in the image.")


def tested_outside(image):
    """The last line of pytest on the image itself, as strict callers run it."""
    words = [sys.executable, "-m", "pytest", "tests/test_image.py", "-m", "slow", "-rs"]
    return summary(words, "a test of the image failed.", TESTED_IMAGE=image)


def summary(command, failed, **variables):
    lines = call(*command, failed=failed, **variables)
    return next(line.strip("= ") for line in reversed(lines) if line.strip())


def golden(engine, image):
    """What `golden --json` says of the golden runs, trained in the image. Raises Refusal where one differs."""
    folders = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/app/runs")
    with container(engine, image) as run:
        words = [*run, *folders, image, "golden", "--json"]
        lines = call(*words, failed="the golden runs differ from what is kept of them.")
    return json.loads("\n".join(lines))


@contextmanager
def container(engine, image):
    """The words that start a container under a name of its own, which is stopped and gone at the end: a container does
    not end with the engine's client."""
    name = image.replace(":", "-")
    with removed(engine, "rm", "--force", name):
        yield [engine, "run", "--name", name, *STRICT]


# ---- the end --------------------------------------------------------------------------------------------------------


def publish(engine, image, version, record, bill):
    """Write the records and set the tags; git's comes last. What was done is taken back where one of these fails."""
    RELEASES.mkdir(exist_ok=True)
    texts = {f"{version}.cdx.json": bill, f"{version}.json": json.dumps(record, indent=1).encode() + b"\n"}
    with ExitStack() as undo:
        for name, text in texts.items():
            half = RELEASES / f".{name}.half"
            for path in (half, RELEASES / name):
                undo.callback(path.unlink, missing_ok=True)
            half.write_bytes(text)
            half.replace(RELEASES / name)
        undo.callback(subprocess.run, [engine, "rmi", f"pipeline:{version}"], capture_output=True, check=False)
        ask(engine, "tag", image, f"pipeline:{version}")
        ask("git", "tag", "--annotate", "--message", f"pipeline {version}", tag(version), record["revision"])
        undo.pop_all()


def tag(version):
    return f"v{version}"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def shortened(lines):
    more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([f"  {line}" for line in lines[:SHOWN]] + more)


def call(*command, failed, **variables):
    """Run a command, its words shown as they come. Returns the lines of its stdout; raises Refusal where it fails.

    Stopped meanwhile, it stops the command and all that this started by SIGINT, at which an engine's client cancels its
    build, and later by SIGKILL.
    """
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
    )
    lines = []
    with process:
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line.rstrip("\n"))
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise Refusal(f"{failed} (`{shlex.join(map(str, command))}` ended with status {process.returncode})")
    return lines


def ask(*command):
    """What a command prints, which is not shown. Raises Refusal with its own words where it fails."""
    try:
        asked = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Refusal(f"expected the command {command[0]}; it is not there.") from None
    if asked.returncode:
        words = asked.stderr.strip().removeprefix("error: ") or f"ended with status {asked.returncode}"
        raise Refusal(f"`{shlex.join(command)}`: {words}")
    return asked.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
