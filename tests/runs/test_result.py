"""The result.json of the run that is trained."""

import json

from pipeline.runs.result import Result


def test_update_changes_only_the_given_values(tmp_path):
    result = Result(tmp_path, {"status": "running", "started": "now"})
    result.update(status="finished", seconds=3)
    expected = {"status": "finished", "started": "now", "seconds": 3}
    assert json.loads((tmp_path / "result.json").read_text()) == expected == result.values
