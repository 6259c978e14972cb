"""What a run is made of: a change on the way is refused or marked, and a reader is told."""

import re

import pytest

from pipeline.errors import EnvironmentMismatch
from pipeline.runs import identity

MADE_OF = {
    "lock": {"sha256": "abc", "drift": []},
    "cpu": {"model": "fast"},
    "hostname": "one",
    "identity": {"code": "123", "config": {}},
}
BEFORE = MADE_OF | {"mixed": ["python: 3.11 then, 3.12 now"]}


@pytest.mark.parametrize(
    "other, named",
    [
        ({"identity": {"code": "456", "config": {}}}, 'identity.code: "123" then, "456" now'),
        ({"lock": {"sha256": "xyz", "drift": []}}, 'lock.sha256: "abc" then, "xyz" now'),
        ({"lock": {"sha256": "abc", "drift": [{"package": "numpy"}]}}, "lock.drift: [] then"),
    ],
    ids=["code", "lock", "packages"],
)
def test_a_run_goes_on_with_other_code_or_packages_only_where_that_is_allowed_and_is_marked(other, named):
    with pytest.raises(EnvironmentMismatch, match=re.escape(named)):
        identity.mixed("run", BEFORE, MADE_OF | other, allowed=False)
    before, marked = identity.mixed("run", BEFORE, MADE_OF | other, allowed=True)
    assert before == "python: 3.11 then, 3.12 now" and marked.startswith(named)


def test_a_reader_is_told_which_packages_were_not_as_locked():
    drift = [
        {"package": "numpy", "locked": "2.1", "installed": "2.0"},
        {"package": "h5py", "locked": "3.14", "installed": None},
    ]
    assert identity.notes({"lock": {"drift": drift}}) == [
        "Trained with numpy 2.0; locked is 2.1.",
        "Trained with h5py not installed; locked is 3.14.",
    ]


def test_a_run_goes_on_with_another_processor_and_is_marked():
    other = MADE_OF | {"cpu": {"model": "slow"}, "hostname": "two"}
    assert identity.mixed("run", BEFORE, other, allowed=False)[1:] == ['cpu.model: "fast" then, "slow" now']
