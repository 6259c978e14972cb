"""docs/config.md, the config reference made from the declarations."""

import re
from dataclasses import fields

from pipeline.cli import help as pages
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS


def test_config_reference_is_current(pytestconfig):
    assert (pytestconfig.rootpath / "docs" / "config.md").read_text() == pages.markdown(), "run `make docs`"


def test_config_reference_names_every_option():
    page = pages.markdown()
    for group in CHOICE_GROUPS:
        for member in members(group).values():
            for item in fields(member):
                assert re.search(rf"`{group}\.{item.name}[.`]", page), f"{group}.{item.name}"
