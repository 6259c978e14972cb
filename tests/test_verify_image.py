"""Comparison of two file trees as tar streams."""

import importlib.util
import io
import tarfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def verify():
    spec = importlib.util.spec_from_file_location("verify_image", PROJECT / "scripts/verify_image.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stream(*members):
    """A tar of (name, content, mode, time); content None makes a folder, (other,) a hard link to it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content, mode, time in members:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = mode, time
            match content:
                case None:
                    info.type = tarfile.DIRTYPE
                case (other,):
                    info.type, info.linkname = tarfile.LNKTYPE, other
                case _:
                    info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    file.seek(0)
    return file


FOLDER, FILE = ("a", None, 0o755, 1), ("a/b", b"content", 0o644, 1)


def test_order_times_and_a_leading_dot_are_ignored(verify):
    later = stream(("./a/b", b"content", 0o644, 99), ("./a", None, 0o755, 99))
    one, other = verify.list_entries(stream(FOLDER, FILE)), verify.list_entries(later)
    assert one == other and verify.tree_digest(one) == verify.tree_digest(other)


@pytest.mark.parametrize(
    "other",
    [
        [FOLDER],
        [FOLDER, ("a/b", b"Content", 0o644, 1)],
        [FOLDER, ("a/b", b"content", 0o755, 1)],
        [FOLDER, ("a/c", b"content", 0o644, 1)],
        [FOLDER, FILE, ("a/c", b"", 0o644, 1)],
        [FOLDER, ("a/b", None, 0o644, 1)],
    ],
)
def test_another_name_kind_mode_or_content_is_a_difference(verify, other):
    one, other = verify.list_entries(stream(FOLDER, FILE)), verify.list_entries(stream(*other))
    assert one != other and verify.tree_digest(one) != verify.tree_digest(other)


def test_hard_link_counts_as_its_target(verify):
    linked = verify.list_entries(stream(FOLDER, FILE, ("a/c", ("a/b",), 0o644, 1)))
    copied = verify.list_entries(stream(FOLDER, FILE, ("a/c", b"content", 0o644, 1)))
    assert linked == copied


def test_files_that_an_engine_writes_into_each_container_are_ignored(verify):
    assert verify.list_entries(stream(FOLDER, ("etc/hostname", b"1f", 0o644, 1), ("dev/null", b"", 0o666, 1))) == (
        verify.list_entries(stream(FOLDER))
    )
