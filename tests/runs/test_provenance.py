"""The environment record of a run: changes while it is trained, and notes for the reader."""

import re
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentMismatch
from pipeline.runs import provenance

RUN = Path("run")
RECORD = {
    "lock": {"sha256": "abc", "drift": []},
    "cpu": {"model": "fast"},
    "hostname": "one",
    "identity": {"code": "123", "config": {}},
}
BEFORE = RECORD | {"mixed": ["python: 3.11 then, 3.12 now"]}


@pytest.mark.parametrize(
    "other, line",
    [
        ({"identity": {"code": "456", "config": {}}}, 'identity.code: "123" then, "456" now'),
        ({"lock": {"sha256": "xyz", "drift": []}}, 'lock.sha256: "abc" then, "xyz" now'),
        ({"lock": {"sha256": "abc", "drift": [{"package": "numpy"}]}}, "lock.drift: [] then"),
    ],
    ids=["code", "lock", "packages"],
)
def test_other_code_or_packages_are_refused_or_recorded_if_allowed(other, line):
    with pytest.raises(EnvironmentMismatch, match=re.escape(line)):
        provenance.changes_while_training(RUN, BEFORE, RECORD | other, allow_drift=False)
    before, recorded = provenance.changes_while_training(RUN, BEFORE, RECORD | other, allow_drift=True)
    assert before == "python: 3.11 then, 3.12 now" and recorded.startswith(line)


def test_another_processor_is_recorded():
    other = RECORD | {"cpu": {"model": "slow"}, "hostname": "two"}
    changes = provenance.changes_while_training(RUN, BEFORE, other, allow_drift=False)
    assert changes[1:] == ['cpu.model: "fast" then, "slow" now']


def test_notes_name_packages_that_differed_from_the_lock():
    drift = [
        {"package": "numpy", "locked": "2.1", "installed": "2.0"},
        {"package": "h5py", "locked": "3.14", "installed": None},
    ]
    assert provenance.notes({"lock": {"drift": drift}}) == [
        "Trained with numpy 2.0; locked is 2.1.",
        "Trained with h5py not installed; locked is 3.14.",
    ]
