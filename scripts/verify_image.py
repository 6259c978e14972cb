"""Build the image twice from scratch and say whether both are the same: `make verify-image`.

Compared are names, kinds, modes, owners and contents of all files, then the images' digests. Ends with status 4 at a
difference in the files. Digests can be equal only where the builder sets all files' times: docs/releases.md.
  BUILDER   docker, podman or buildah; otherwise the engine that answers
  BASE_IMAGE, BUILD_NETWORK, PIP_CONF, CA_BUNDLE   as for `make image`
"""

import hashlib
import os
import shlex
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[1]
DIFFERENT = 4  # exit status
NAME = "pipeline:rebuilt"
# the engine writes these anew for each container; they are no part of the image
OF_THE_CONTAINER = ("dev", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "sys", ".dockerenv")
KINDS = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "file"}


def main():
    try:
        builder = os.environ.get("BUILDER") or ask("scripts/runtime", "engine")
        trees, digests = zip(*(built(builder, number) for number in (1, 2)), strict=True)
    except subprocess.CalledProcessError as error:
        words = (error.stderr or "").strip().removeprefix("error: ") or "its own words stand above."
        print(f"error: `{shlex.join(error.cmd)}` ended with status {error.returncode}; {words}", file=sys.stderr)
        return 1
    different = sorted(path for path in trees[0].keys() | trees[1].keys() if trees[0].get(path) != trees[1].get(path))
    if different:
        path = different[0]
        print(f"{len(different)} of {len(trees[0]):,} files differ, the first of them:\n  {path}")
        for number, tree in enumerate(trees, 1):
            print(f"  build {number}: {shown(tree.get(path))}")
        return DIFFERENT
    print(f"tree     {digest(trees[0])}, the same {len(trees[0]):,} files in both builds")
    same = f"{digests[0]} of both" if digests[0] == digests[1] else f"differ ({builder} keeps the time of a build)"
    print(f"image    {same}")
    return 0


def built(builder, number):
    """(tree, digest) of the image, built from scratch and removed again; one at a time, since each takes 7 GB."""
    print(f"build {number} of 2 ...", file=sys.stderr)
    options = ["--no-cache", "--build-arg", "PIP_NO_CACHE_DIR=1"]
    if builder in ("podman", "buildah"):
        options += ["--timestamp", ask("git", "log", "-1", "--format=%ct")]
    if builder == "buildah":
        options += ["--isolation", "chroot"]
    try:
        subprocess.run(["scripts/image", "build", builder, NAME, *options], cwd=PROJECT, check=True)
        with exported(builder) as stream:
            tree = listed(stream)
        return tree, identity(builder)
    finally:
        subprocess.run([builder, "rmi", NAME], capture_output=True, check=False)


def identity(builder):
    if builder == "buildah":
        return ask(builder, "images", "--format", "{{.Digest}}", NAME)
    return ask(builder, "image", "inspect", "--format", "{{.Id}}", NAME)


@contextmanager
def exported(builder):
    """The whole file system of the image, as a stream of tar."""
    container = ask(builder, *(["from"] if builder == "buildah" else ["create"]), NAME)
    try:
        command = [builder, "export", container]
        if builder == "buildah":
            command = ["tar", "-C", ask(builder, "mount", container), "-c", "."]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            yield process.stdout
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    finally:
        subprocess.run([builder, "rm", container], capture_output=True, check=False)


def listed(stream):
    """Path -> (kind, mode, user, group, target of a link, sha256 of the content) of a tar's members.

    A hard link counts as the file it leads to: which of the names came first is the file system's affair.
    """
    tree = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if path in OF_THE_CONTAINER or path.startswith(("dev/", "proc/", "sys/")):
                continue
            if member.islnk():
                tree[path] = tree[member.linkname.removeprefix("./")]
                continue
            content = hashlib.file_digest(archive.extractfile(member), "sha256").hexdigest() if member.isreg() else ""
            kind = KINDS.get(member.type, "other")
            tree[path] = (kind, oct(member.mode), member.uid, member.gid, member.linkname, content)
    return tree


def digest(tree):
    """One sha256 over a whole tree."""
    return "sha256:" + hashlib.sha256(repr(sorted(tree.items())).encode()).hexdigest()


def shown(entry):
    if entry is None:
        return "is not there"
    kind, mode, user, group, target, content = entry
    return f"{kind}, mode {mode}, owner {user}:{group}" + (f", to {target}" if target else "") + f", sha256 {content}"


def ask(*command):
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
