"""The journal: whole lines or none, whatever happens to the process or the disk."""

import json
import math
import subprocess
import sys

import pytest
from written_runs import environment, write_run

from pipeline.errors import RegistryError
from pipeline.registry import journal


def events(path):
    _, head, content = journal.read_journal(path)
    return [line["event"] for _, line in journal.parse_lines(path, content, head)]


def test_the_first_line_names_the_run_and_stays(tmp_path):
    path = tmp_path / journal.FILE_NAME
    journal.RunJournal(path).add("begin")
    run = journal.read_journal(path)[0]
    journal.RunJournal(path).add("end")
    assert journal.read_journal(path)[0] == run
    assert events(path) == ["begin", "end"]


def test_numbers_that_are_not_finite_leave_a_journal_that_every_program_can_read(tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    path = tmp_path / journal.FILE_NAME
    journal.RunJournal(path).add("epoch", metrics={"loss": math.nan, "accuracy": 0.5}, others=[{"a": -math.inf}])
    _, line = [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
    assert (line["metrics"], line["others"]) == ({"loss": "nan", "accuracy": 0.5}, [{"a": "-inf"}])


def test_a_line_cut_short_is_not_read_and_gone_with_the_next(tmp_path):
    path = tmp_path / journal.FILE_NAME
    journal.RunJournal(path).add("begin")
    with path.open("ab") as file:
        file.write(b'{"event": "epo')
    assert events(path) == ["begin"]
    journal.RunJournal(path).add("end")
    assert events(path) == ["begin", "end"]


def test_a_first_line_cut_short_is_written_again(tmp_path):
    path = tmp_path / journal.FILE_NAME
    path.write_bytes(b'{"run": "0123')
    journal.RunJournal(path).add("begin")
    assert events(path) == ["begin"]


def test_lines_of_many_processes_stay_whole(tmp_path):
    path = tmp_path / journal.FILE_NAME
    code = (
        "import sys; from pipeline.registry.journal import RunJournal; journal = RunJournal(sys.argv[1])\n"
        "for number in range(25): journal.add('epoch', writer=sys.argv[2], number=number, filling='x' * 20_000)"
    )
    command = [sys.executable, "-c", code, path]
    writers = [subprocess.Popen([*command, str(writer)], env=environment()) for writer in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    _, head, content = journal.read_journal(path)
    found = [(line["writer"], line["number"]) for _, line in journal.parse_lines(path, content, head)]
    assert sorted(found) == sorted((str(writer), number) for writer in range(4) for number in range(25))


def test_a_line_that_could_not_be_written_comes_with_the_next(tmp_path):
    path = tmp_path / "later" / journal.FILE_NAME
    kept = journal.RunJournal(path)
    with pytest.raises(OSError):
        kept.add("begin")
    path.parent.mkdir()
    kept.add("end")
    assert events(path) == ["begin", "end"]


def test_a_damaged_line_is_refused_naming_its_byte(tmp_path):
    path = write_run(tmp_path, "a")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"?" + lines[2][1:], *lines[3:]]))
    with pytest.raises(RegistryError, match=f"byte {len(lines[0] + lines[1])}"):
        events(path)


@pytest.mark.parametrize("first", [b"\n", b"{}\n", b'{"run": 1}\n', b'{"run": "xyz"}\n', b"[]\n", b"\xff\n"])
def test_a_file_that_is_no_journal_is_refused(tmp_path, first):
    (tmp_path / journal.FILE_NAME).write_bytes(first)
    with pytest.raises(RegistryError, match="expected the journal"):
        journal.read_journal(tmp_path / journal.FILE_NAME)


@pytest.mark.parametrize("begun", [b"", b'{"run": "0123'])
def test_a_journal_without_a_whole_line_holds_nothing_yet(tmp_path, begun):
    (tmp_path / journal.FILE_NAME).write_bytes(begun)
    assert journal.read_journal(tmp_path / journal.FILE_NAME) == (None, 0, b"")


def test_words_that_are_no_utf8_come_back(tmp_path):
    path = tmp_path / journal.FILE_NAME
    journal.RunJournal(path).add("begin", name="\udcff \0 'é日本🚀")
    _, head, content = journal.read_journal(path)
    assert next(journal.parse_lines(path, content, head))[1]["name"] == "\udcff \0 'é日本🚀"
    assert json.loads(content.splitlines()[1])
