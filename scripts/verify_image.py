"""Build the image twice from scratch and compare both: `make verify-image`.

Compares names, kinds, modes, owners and contents of all files, then the digests of the images. A difference in the
files gives status 4. The digests can be equal only if the builder sets the times of all files: docs/releases.md.
  BUILDER   docker, podman or buildah; by default the engine that answers
  BASE_IMAGE, BUILD_NETWORK, PIP_CONF, CA_BUNDLE   as for `make image`
"""

import hashlib
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

PROJECT = Path(__file__).parents[1]
DIFFERENT = 4  # exit status
# The engine writes these for each container; they are not in the image.
NOT_IN_THE_IMAGE = ("dev", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "sys", ".dockerenv")
KINDS = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "file"}
Entry = tuple[str, str, int, int, str, str]  # kind, mode, user, group, target of a link, sha256 of the content


def main() -> int:
    """Build, compare and print the result. Returns the exit status."""
    try:
        builder = os.environ.get("BUILDER") or output_of("scripts/runtime", "engine")
        trees, digests = zip(*(build(builder, number) for number in (1, 2)), strict=True)
    except subprocess.CalledProcessError as error:
        message = (error.stderr or "").strip().removeprefix("error: ") or "its message is above."
        print(f"error: `{shlex.join(error.cmd)}` ended with status {error.returncode}; {message}", file=sys.stderr)
        return 1
    different = sorted(path for path in trees[0].keys() | trees[1].keys() if trees[0].get(path) != trees[1].get(path))
    if different:
        path = different[0]
        print(f"{len(different)} of {len(trees[0]):,} files differ. The first one:\n  {path}")
        for number, tree in enumerate(trees, 1):
            print(f"  build {number}: {format_entry(tree.get(path))}")
        return DIFFERENT
    print(f"tree     {tree_digest(trees[0])}, the same {len(trees[0]):,} files in both builds")
    same = f"{digests[0]} of both" if digests[0] == digests[1] else f"digests differ ({builder} stores the build time)"
    print(f"image    {same}")
    return 0


def build(builder: str, number: int) -> tuple[dict[str, Entry], str]:
    """Build the image from scratch and remove it again, because it takes 7 GB. Returns its files and its digest."""
    name = f"{output_of('scripts/project', 'name')}:rebuilt"
    print(f"build {number} of 2 ...", file=sys.stderr)
    options = ["--no-cache", "--build-arg", "PIP_NO_CACHE_DIR=1"]
    if builder in ("podman", "buildah"):
        options += ["--timestamp", output_of("git", "log", "-1", "--format=%ct")]
    if builder == "buildah":
        options += ["--isolation", "chroot"]
    try:
        subprocess.run(["scripts/image", "build", builder, name, *options], cwd=PROJECT, check=True)
        with export(builder, name) as stream:
            tree = list_entries(stream)
        return tree, image_digest(builder, name)
    finally:
        subprocess.run([builder, "rmi", name], capture_output=True, check=False)


def image_digest(builder: str, name: str) -> str:
    """Return the digest of an image."""
    if builder == "buildah":
        return output_of(builder, "images", "--format", "{{.Digest}}", name)
    return output_of(builder, "image", "inspect", "--format", "{{.Id}}", name)


@contextmanager
def export(builder: str, name: str) -> Iterator[IO[bytes]]:
    """Yield the whole file system of an image as a tar stream."""
    container = output_of(builder, *(["from"] if builder == "buildah" else ["create"]), name)
    try:
        command = [builder, "export", container]
        if builder == "buildah":
            command = ["tar", "-C", output_of(builder, "mount", container), "-c", "."]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            yield process.stdout
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    finally:
        subprocess.run([builder, "rm", container], capture_output=True, check=False)


def list_entries(stream: IO[bytes]) -> dict[str, Entry]:
    """Return the entry of every path in a tar stream.

    A hard link has the entry of its target: the order of the two names depends on the file system.
    """
    tree = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if path in NOT_IN_THE_IMAGE or path.startswith(("dev/", "proc/", "sys/")):
                continue
            if member.islnk():
                tree[path] = tree[member.linkname.removeprefix("./")]
                continue
            content = ""
            if member.isreg():
                file = cast(BufferedReader, archive.extractfile(member))  # the type of the object that it returns
                content = hashlib.file_digest(file, "sha256").hexdigest()
            kind = KINDS.get(member.type, "other")
            tree[path] = (kind, oct(member.mode), member.uid, member.gid, member.linkname, content)
    return tree


def tree_digest(tree: dict[str, Entry]) -> str:
    """Return the sha256 of a whole tree."""
    return "sha256:" + hashlib.sha256(repr(sorted(tree.items())).encode()).hexdigest()


def format_entry(entry: Entry | None) -> str:
    """Return an entry as text."""
    if entry is None:
        return "missing"
    kind, mode, user, group, target, content = entry
    return f"{kind}, mode {mode}, owner {user}:{group}" + (f", to {target}" if target else "") + f", sha256 {content}"


def output_of(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
