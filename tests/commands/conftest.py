"""Fixtures of the tests of commands."""

import pytest

from pipeline.cli.main import main


@pytest.fixture
def answer(capsys, monkeypatch):
    """A function that runs a command line in a folder, in this process. Returns (exit status, stdout, stderr)."""

    def run(folder, *arguments):
        monkeypatch.chdir(folder)
        capsys.readouterr()
        status = main([*arguments])
        return status, *capsys.readouterr()

    return run
