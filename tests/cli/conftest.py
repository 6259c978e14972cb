"""Fixtures of the command line."""

import pytest

from pipeline.cli import compose as composition


@pytest.fixture
def stored():
    """A function that reads the config.yaml of a folder with overrides, as a command on a stored run does."""

    def read(folder, *overrides):
        caller = composition.compose(composition.caller_overrides(list(overrides)))
        return composition.stored(folder / "config.yaml", list(overrides), caller)

    return read
