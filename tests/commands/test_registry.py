"""`registry` as a user runs it, on journals written by the test."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from written_runs import beginning, write_run

from pipeline.cli.main import main
from pipeline.registry import ingestion, journal, store, tables, verification
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry
from pipeline.runs import folder as run_folder

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path):
    write_run(tmp_path, "a", accuracy=0.8)
    write_run(tmp_path, "b", accuracy=0.9)
    return tmp_path


def test_ingest_adds_each_line_once(root, capsys):
    assert main(["registry", "ingest", f"run.root={root}"]) == 0
    assert "14 new lines" in capsys.readouterr().out
    assert main(["registry", "ingest", f"run.root={root}"]) == 0
    assert "0 new lines" in capsys.readouterr().out


def test_verify_agrees_only_after_ingest(root, capsys):
    assert main(["registry", "verify", f"run.root={root}"]) == 2
    assert "has not been taken in" in capsys.readouterr().err
    main(["registry", "ingest", f"run.root={root}"])
    assert main(["registry", "verify", f"run.root={root}"]) == 0
    said = capsys.readouterr().out
    assert "2 runs agree" in said and "more" not in said
    shutil.rmtree(root / "a")
    assert main(["registry", "verify", f"run.root={root}"]) == 0
    assert "1 runs agree" in (said := capsys.readouterr().out) and "1 more in the tables" in said


def test_ingest_ends_killed_runs_and_no_running_ones(root):
    for name in ("killed", "at-work"):
        (root / name).mkdir()
        journal.RunJournal(root / name / journal.FILE_NAME).add(Event.BEGIN, **beginning(root / name))
    with run_folder.lock(root / "at-work"):
        assert main(["registry", "ingest", f"run.root={root}"]) == 0
    engine = store.create_engine(Registry(), root)
    with store.connect_read_only(engine) as connection:
        found = dict(connection.execute(sa.select(tables.run.c.name, tables.run.c.status)).all())
    assert found == {"a": "finished", "b": "finished", "killed": "interrupted", "at-work": "running"}
    assert verification.verify_journals(engine, root) == (4, [])


def test_changed_journal_is_not_ended(root):
    path = write_run(root, "changed", status="running")
    engine = store.create_engine(Registry(), root)
    store.require_revision(engine)
    ingestion.ingest_journal(engine, path)
    path.write_bytes(before := path.read_bytes().replace(b"train", b"other"))
    main(["registry", "ingest", f"run.root={root}"])
    assert path.read_bytes() == before
    assert main(["registry", "verify", f"run.root={root}"]) == 2


def test_damaged_journal_is_named_and_the_others_are_ingested(root, capsys):
    path = root / "a" / journal.FILE_NAME
    path.write_bytes(path.read_bytes()[:-5] + b"\n")
    assert main(["registry", "ingest", f"run.root={root}"]) == 2
    said = capsys.readouterr()
    assert "7 new lines" in said.out and f"{path}, byte" in said.err


def test_upgrade_prints_the_revision_before(tmp_path, capsys):
    store.upgrade_schema(store.create_engine(Registry(), tmp_path), "0001")
    assert main(["registry", "ingest", f"run.root={tmp_path}"]) == 2
    assert "python -m pipeline registry upgrade" in capsys.readouterr().err
    assert main(["registry", "upgrade", f"run.root={tmp_path}"]) == 0
    assert "revision 0002, was 0001" in capsys.readouterr().out
    assert main(["registry", "upgrade", f"run.root={tmp_path}"]) == 0
    assert "unchanged" in capsys.readouterr().out


def test_export_writes_every_table_as_csv_and_json(root):
    main(["registry", "ingest", f"run.root={root}"])
    assert main(["registry", "export", f"run.root={root}"]) == 0
    with (root / "registry.export" / "evaluation.csv").open(newline="") as file:
        of_csv = [(row["metric"], float(row["value"])) for row in csv.DictReader(file)]
    of_json = json.loads((root / "registry.export" / "evaluation.json").read_text())
    assert of_csv == [(row["metric"], row["value"]) for row in of_json] == [("accuracy", 0.8), ("accuracy", 0.9)]
    names = {path.stem for path in (root / "registry.export").glob("*.csv")}
    assert names == {path.stem for path in (root / "registry.export").glob("*.json")}
    assert {"run", "architecture", "environment", "dataset", "epoch_metric", "drift_result"} <= names


def test_export_of_an_empty_table_is_an_empty_list(root):
    assert main(["registry", "export", f"run.root={root}"]) == 0
    assert json.loads((root / "registry.export" / "drift_result.json").read_text()) == []


WRONG = {
    "no registry": (["registry", "ingest", "registry.url=none"], "found none"),
    "an unknown word": (["registry", "ingset"], "Did you mean ingest?"),
    "a password in the address": (["registry", "registry.url=postgresql://me:t0ps3cret@host/db"], "no password in it"),
    "another kind of database": (["registry", "registry.url=mysql://host/db"], "begins with 'mysql'"),
    "a password in what cannot be read": (["registry", "registry.url=postgresql://b?password=t0ps3cret"], "=***"),
    "a password in what has two values": (["registry", "registry.url=postgresql://a:t0ps3cret@b,c"], "a:***@b,c"),
    "a port that is none": (["registry", "registry.url=postgresql://me@host:port/db"], "it cannot be read"),
    "a file that cannot be made": (["registry", "registry.url=sqlite:////proc/registry.db"], "/proc/registry.db.lock"),
    "a server that is not there": (["registry", "registry.url=postgresql://me@127.0.0.1:1/db"], "that answers"),
}


@pytest.mark.parametrize("arguments, said", WRONG.values(), ids=WRONG.keys())
def test_mistake_is_one_message_and_status_2(arguments, said, tmp_path, capsys):
    assert main([*arguments, f"run.root={tmp_path}"]) == 2
    message = capsys.readouterr().err
    assert said in message and "t0ps3cret" not in message and len(message.splitlines()) <= 4


def trained(folder, name, *more):
    words = [f"run.root={folder}/runs", f"run.name={name}", "training.epochs=2", "model.dropout=0.2", *more]
    assert main(["train", *words]) == 0
    return json.loads((folder / "runs" / name / "result.json").read_text())["weights_digest"]


@pytest.mark.slow
def test_registry_does_not_change_the_weights(tmp_path):
    assert trained(tmp_path, "with") == trained(tmp_path, "without", "registry.url=none")
    engine = store.create_engine(Registry(), tmp_path / "runs")
    assert ingestion.ingest_all(engine, tmp_path / "runs")[0] > 0  # the other run's journal
    assert verification.verify_journals(engine, tmp_path / "runs") == (2, [])
