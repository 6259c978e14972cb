"""Installed files against the digests of their wheels."""

import base64
import hashlib

import pytest

from pipeline.runtime.installed_files import changed_files


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path with an installed package of two files, of which one was compiled there."""
    content = b"print(1)\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    info = tmp_path / "alpha_beta-1.0.dist-info"
    info.mkdir()
    (tmp_path / "alpha, beta.py").write_bytes(content)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: alpha-beta\nVersion: 1.0\n")
    (info / "RECORD").write_text(
        f'"alpha, beta.py",sha256={digest},{len(content)}\nalpha.pyc,,\n{info.name}/RECORD,,\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_files_as_in_the_wheel_are_no_difference(site):
    assert changed_files(["alpha-beta", "not-installed"]) == (1, [])


def test_an_edited_file_is_named(site):
    (site / "alpha, beta.py").write_bytes(b"print(2)\n")
    assert changed_files(["alpha-beta"]) == (1, ["alpha, beta.py"])


def test_a_missing_file_is_named(site):
    (site / "alpha, beta.py").unlink()
    assert changed_files(["alpha-beta"]) == (1, ["alpha, beta.py"])


def test_a_package_without_its_list_of_files_is_named(site):
    (site / "alpha_beta-1.0.dist-info/RECORD").unlink()
    assert changed_files(["alpha-beta"]) == (0, ["alpha-beta: no RECORD"])
