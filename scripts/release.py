"""Make a release, or leave nothing behind: `make release VERSION=x.y.z`, which runs scripts/release.py VERSION.

A release is an image that is built from scratch out of a clean commit and passes all tests and the golden runs. It
consists of the image's tag NAME:VERSION, releases/VERSION.json, releases/VERSION.cdx.json (CycloneDX) and the git tag
vVERSION. NAME and VERSION are those of the project in pyproject.toml.
  TESTS   arguments for pytest instead of -m "not release", for a trial; releases/VERSION.json records them
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
RELEASES = PROJECT / "releases"
LOCKS = ("requirements-cpu", "requirements", "requirements-dev", "requirements-install", "requirements-parquet")
WHOLE_SUITE = "-m 'not release'"
SHOWN = 5  # lines of a long list in an error
GRACE = 10  # seconds until an interrupted command is killed
# A container without any access. scripts/run adds what a training needs of the machine.
STRICT = ("--rm", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


class ReleaseError(Exception):
    """The reason why there is no release."""


def main(arguments: list[str]) -> int:
    """Make the release of the version in `arguments`. Returns the exit status."""
    # A background job starts with SIGINT ignored, and the commands that it has to interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that context managers undo the work
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        if len(arguments) != 1:
            raise ReleaseError("VERSION: expected one: make release VERSION=x.y.z")
        release(arguments[0])
    except (ReleaseError, OSError) as error:
        print(f"error: {error}\nNothing was released.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was released.", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def release(version: str) -> None:
    """Check, build, test, train, record and tag, in this order. Each step needs the one before it."""
    revision = commit_to_release(version)
    engine = output_of("scripts/runtime", "engine")
    require_solved_locks()
    tests = os.environ.get("TESTS") or WHOLE_SUITE
    with ExitStack() as stack:
        image = stack.enter_context(candidate_image(engine, version))
        tester = stack.enter_context(tests_image(engine, version, image))
        record = {
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "revision": revision,
            "image": describe_image(engine, image),
            "base": describe_base(engine),
            "lock": {"name": "requirements.txt", "sha256": sha256((PROJECT / "requirements.txt").read_bytes())},
            "tests": {
                "selection": tests,
                "in_the_image": run_tests_inside(engine, tester, tests),
                "of_the_image": run_tests_outside(image),
            },
            "golden": train_golden_runs(engine, image),
        }
        bill = output_of(engine, "run", *STRICT, "--entrypoint", "cat", tester, "/opt/sbom.json").encode() + b"\n"
        record["sbom"] = {"name": f"{version}.cdx.json", "sha256": sha256(bill)}
        if output_of("scripts/revision") != revision:
            raise ReleaseError(
                f"expected the tree to stay at {revision} until the end; found it at {output_of('scripts/revision')}."
            )
        publish(engine=engine, image=image, version=version, record=record, bill=bill)
    print(
        f"released {version}: {image_name(version)}, {git_tag(version)}, releases/{version}.json. Commit releases/ now."
    )


# ---- checks before the build ----------------------------------------------------------------------------------------


def commit_to_release(version: str) -> str:
    """Return the commit of the tree. Raises ReleaseError if it, or the version, cannot become a release."""
    if not re.fullmatch(r"\d+\.\d+\.\d+([.-]?(a|b|rc|dev)\d+)?", version):
        raise ReleaseError(f"VERSION: expected three numbers such as 1.4.0, or 1.4.0-rc1; found {version!r}.")
    expected = output_of("scripts/project", "version")
    if version != expected:
        raise ReleaseError(
            f"VERSION: expected {expected}, the version in pyproject.toml; found {version}. "
            "Change it there and commit, or release that version."
        )
    revision = output_of("scripts/revision")
    if revision == "unknown":
        raise ReleaseError("expected a git repository with a commit to release; found none here.")
    if revision.endswith("-dirty"):
        changed = output_of("git", "status", "--porcelain").splitlines()
        raise ReleaseError(
            f"expected no uncommitted changes; found these files changed or new:\n{format_lines(changed)}\nCommit them."
        )
    if output_of("git", "tag", "--list", git_tag(version)):
        raise ReleaseError(
            f"VERSION: expected a version without a tag; found the tag {git_tag(version)}. Choose another version."
        )
    if found := sorted(RELEASES.glob(f"{version}.*json")):
        raise ReleaseError(
            f"{found[0]}: expected no record of {version}, which has no tag {git_tag(version)}; found one. Remove it."
        )
    return revision


def require_solved_locks() -> None:
    """Solve the .in files again, starting from the current locks. Raises ReleaseError if a lock changes."""
    with tempfile.TemporaryDirectory() as folder:
        for name in LOCKS:
            for end in ("in", "txt"):
                shutil.copy(PROJECT / f"{name}.{end}", folder)
        run_and_print("scripts/lock", folder, *LOCKS, failed="the .in files could not be solved; the message is above.")
        for name in LOCKS:
            lock = PROJECT / f"{name}.txt"
            solved = (Path(folder) / lock.name).read_text()
            changes = difflib.unified_diff(lock.read_text().splitlines(), solved.splitlines(), n=0, lineterm="")
            if lines := [line for line in changes if not line.startswith(("---", "+++", "@@"))]:
                raise ReleaseError(
                    f"{lock.name}: expected the lock of {name}.in; solved again, it differs:\n{format_lines(lines)}\n"
                    "Run `make lock`, review the changes and commit them."
                )


# ---- images ---------------------------------------------------------------------------------------------------------


@contextmanager
def candidate_image(engine: str, version: str) -> Iterator[str]:
    """Build the image from scratch under a temporary name, and yield the name."""
    name = image_name(f"{version}-candidate")
    options = ["--no-cache", "--build-arg", "PIP_NO_CACHE_DIR=1"]
    if "@sha256:" in output_of("scripts/image", "base"):
        options.append("--pull")  # safe, because a digest names the same image everywhere
    with removed(engine, "rmi", name):
        run_and_print(
            "scripts/image", "build", engine, name, *options, failed="the image could not be built.", VERSION=version
        )
        yield name


@contextmanager
def tests_image(engine: str, version: str, image: str) -> Iterator[str]:
    """Build a temporary image for the tests on `image`, from a clone of the commit, and yield its name."""
    name = image_name(f"{version}-tests")
    with tempfile.TemporaryDirectory() as context, removed(engine, "rmi", name):
        output_of("git", "clone", "--quiet", ".", f"{context}/tree")
        options = ["--file", "docker/tests.Dockerfile", "--tag", name, "--build-arg", f"IMAGE={image}"]
        if network := os.environ.get("BUILD_NETWORK"):
            options += ["--network", network]
        for secret, variable in (("pip_conf", "PIP_CONF"), ("ca_bundle", "CA_BUNDLE")):
            if path := os.environ.get(variable):
                options += ["--secret", f"id={secret},src={path}"]
        run_and_print(
            engine,
            "build",
            *options,
            context,
            failed="the image for the tests could not be built.",
            DOCKER_BUILDKIT="1",
        )
        yield name


@contextmanager
def removed(engine: str, *arguments: str) -> Iterator[None]:
    """Run the engine with `arguments` at the end, such as "rmi" and the name of an image."""
    try:
        yield
    finally:
        subprocess.run([engine, *arguments], cwd=PROJECT, capture_output=True, check=False)


def describe_image(engine: str, image: str) -> dict[str, Any]:
    """Return the digest of an image, its size in bytes and the engine."""
    identity, size = output_of(engine, "image", "inspect", "--format", "{{.Id}} {{.Size}}", image).split()
    return {"digest": f"sha256:{identity.removeprefix('sha256:')}", "bytes": int(size), "engine": engine}


def describe_base(engine: str) -> dict[str, str]:
    """Return name and digest of the base image: the digest in its name, else the engine's."""
    name, _, digest = output_of("scripts/image", "base").partition("@")
    if not digest:
        digest = describe_image(engine, name)["digest"]
    return {"name": name, "digest": digest}


# ---- checks ---------------------------------------------------------------------------------------------------------


def run_tests_inside(engine: str, tester: str, tests: str) -> str:
    """Run pytest in the image, without network and privileges. Returns its last line."""
    memory = ("--shm-size", "2g")  # holds the databases of the registry's tests
    with named_container(engine, tester) as run:
        return run_pytest([*run, *memory, tester, *shlex.split(tests)], "a test failed in the image.")


def run_tests_outside(image: str) -> str:
    """Run the tests of the image as a whole. Returns the last line of pytest."""
    command = [sys.executable, "-m", "pytest", "tests/test_image.py", "-m", "slow", "-rs"]
    return run_pytest(command, "a test of the image failed.", TESTED_IMAGE=image)


def run_pytest(command: list[str], failed: str, **variables: str) -> str:
    """Run pytest and return its last line. `failed` is the error if it fails."""
    lines = run_and_print(*command, failed=failed, **variables)
    return next(line.strip("= ") for line in reversed(lines) if line.strip())


def train_golden_runs(engine: str, image: str) -> dict[str, Any]:
    """Train the golden runs in the image. Returns the JSON of `golden --json`; raises ReleaseError if one differs."""
    folders = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/app/runs")
    with named_container(engine, image) as run:
        command = [*run, *folders, image, "golden", "--json"]
        lines = run_and_print(*command, failed="the golden runs differ from the recorded results.")
    return json.loads("\n".join(lines))


@contextmanager
def named_container(engine: str, image: str) -> Iterator[list[str]]:
    """Yield a command that starts a named container. It is removed at the end: it can outlive the engine's client."""
    name = image.replace(":", "-")
    with removed(engine, "rm", "--force", name):
        yield [engine, "run", "--name", name, *STRICT]


# ---- records and tags ------------------------------------------------------------------------------------------------


def publish(*, engine: str, image: str, version: str, record: dict[str, Any], bill: bytes) -> None:
    """Write the records and set the tags, git's last. If a step fails, those before it are undone."""
    RELEASES.mkdir(exist_ok=True)
    texts = {f"{version}.cdx.json": bill, f"{version}.json": json.dumps(record, indent=1).encode() + b"\n"}
    with ExitStack() as undo:
        for name, text in texts.items():
            half = RELEASES / f".{name}.half"
            for path in (half, RELEASES / name):
                undo.callback(path.unlink, missing_ok=True)
            half.write_bytes(text)
            half.replace(RELEASES / name)
        undo.callback(subprocess.run, [engine, "rmi", image_name(version)], capture_output=True, check=False)
        output_of(engine, "tag", image, image_name(version))
        output_of("git", "tag", "--annotate", "--message", image_name(version), git_tag(version), record["revision"])
        undo.pop_all()


def git_tag(version: str) -> str:
    """Return the git tag of a version."""
    return f"v{version}"


def image_name(version: str) -> str:
    """Return the name of the image of a version."""
    return f"{output_of('scripts/project', 'name')}:{version}"


def sha256(content: bytes) -> str:
    """Return the digest as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def format_lines(lines: list[str]) -> str:
    """Return the first lines, indented, and how many follow."""
    more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([f"  {line}" for line in lines[:SHOWN]] + more)


def run_and_print(*command: str, failed: str, **variables: str) -> list[str]:
    """Run a command and show its output. Returns the lines of its stdout; raises ReleaseError if it fails.

    If this process is interrupted, the command and its children get SIGINT, at which an engine's client cancels its
    build, and SIGKILL after `GRACE` seconds.
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
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line.rstrip("\n"))
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise ReleaseError(f"{failed} (`{shlex.join(map(str, command))}` ended with status {process.returncode})")
    return lines


def output_of(*command: str) -> str:
    """Return what a command prints. Raises ReleaseError with its message if it fails."""
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ReleaseError(f"expected the command {command[0]}; found none of that name.") from None
    if done.returncode:
        message = done.stderr.strip().removeprefix("error: ") or f"ended with status {done.returncode}"
        raise ReleaseError(f"`{shlex.join(command)}`: {message}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
