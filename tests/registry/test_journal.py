"""The journal has complete lines only, also after a kill of the process or a failure of the disk."""

import json
import math
import subprocess
import sys

import pytest
from written_runs import environment, write_run

from pipeline.errors import RegistryError
from pipeline.registry import journal


def read_events(path):
    return [line["event"] for _, line in journal.read_journal(path).parse_lines()]


def test_run_id_stays_the_same_when_lines_are_added(tmp_path):
    path = tmp_path / journal.FILE_NAME
    journal.RunJournal(path).add("begin")
    run_id = journal.read_journal(path).run_id
    journal.RunJournal(path).add("end")
    assert journal.read_journal(path).run_id == run_id
    assert read_events(path) == ["begin", "end"]


def test_journal_with_nonfinite_numbers_is_standard_json(tmp_path):
    def reject(constant):
        raise AssertionError(f"{constant} is not standard JSON")

    path = tmp_path / journal.FILE_NAME
    journal.RunJournal(path).add("epoch", metrics={"loss": math.nan, "accuracy": 0.5}, others=[{"a": -math.inf}])
    _, line = [json.loads(line, parse_constant=reject) for line in path.read_text().splitlines()]
    assert (line["metrics"], line["others"]) == ({"loss": "nan", "accuracy": 0.5}, [{"a": "-inf"}])


def test_incomplete_last_line_is_ignored_and_removed_by_the_next_write(tmp_path):
    path = tmp_path / journal.FILE_NAME
    journal.RunJournal(path).add("begin")
    with path.open("ab") as file:
        file.write(b'{"event": "epo')
    assert read_events(path) == ["begin"]
    journal.RunJournal(path).add("end")
    assert read_events(path) == ["begin", "end"]


def test_incomplete_header_is_replaced(tmp_path):
    path = tmp_path / journal.FILE_NAME
    path.write_bytes(b'{"run": "0123')
    journal.RunJournal(path).add("begin")
    assert read_events(path) == ["begin"]


def test_lines_of_parallel_processes_are_complete(tmp_path):
    path = tmp_path / journal.FILE_NAME
    code = (
        "import sys; from pipeline.registry.journal import RunJournal; journal = RunJournal(sys.argv[1])\n"
        "for number in range(25): journal.add('epoch', writer=sys.argv[2], number=number, filling='x' * 20_000)"
    )
    command = [sys.executable, "-c", code, path]
    writers = [subprocess.Popen([*command, str(writer)], env=environment()) for writer in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    lines = [(line["writer"], line["number"]) for _, line in journal.read_journal(path).parse_lines()]
    assert sorted(lines) == sorted((str(writer), number) for writer in range(4) for number in range(25))


def test_line_that_failed_to_write_is_written_with_the_next(tmp_path):
    path = tmp_path / "missing" / journal.FILE_NAME
    run_journal = journal.RunJournal(path)
    with pytest.raises(OSError):
        run_journal.add("begin")
    path.parent.mkdir()
    run_journal.add("end")
    assert read_events(path) == ["begin", "end"]


def test_error_for_a_damaged_line_contains_its_offset(tmp_path):
    path = write_run(tmp_path, "a")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"?" + lines[2][1:], *lines[3:]]))
    with pytest.raises(RegistryError, match=f"byte {len(lines[0] + lines[1])}"):
        read_events(path)


@pytest.mark.parametrize("first", [b"\n", b"{}\n", b'{"run": 1}\n', b'{"run": "xyz"}\n', b"[]\n", b"\xff\n"])
def test_file_that_is_not_a_journal_is_refused(tmp_path, first):
    (tmp_path / journal.FILE_NAME).write_bytes(first)
    with pytest.raises(RegistryError, match="expected the journal"):
        journal.read_journal(tmp_path / journal.FILE_NAME)


@pytest.mark.parametrize("incomplete", [b"", b'{"run": "0123'])
def test_journal_without_a_complete_line_is_read_as_none(tmp_path, incomplete):
    (tmp_path / journal.FILE_NAME).write_bytes(incomplete)
    assert journal.read_journal(tmp_path / journal.FILE_NAME) is None


def test_text_that_is_not_valid_utf8_is_read_back_unchanged(tmp_path):
    path = tmp_path / journal.FILE_NAME
    journal.RunJournal(path).add("begin", name="\udcff \0 'é日本🚀")
    stored = journal.read_journal(path)
    assert next(stored.parse_lines())[1]["name"] == "\udcff \0 'é日本🚀"
    assert json.loads(stored.content.splitlines()[1])
