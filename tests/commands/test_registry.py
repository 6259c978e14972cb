"""The command `registry`, on journals that the tests write."""

import csv
import json
import shutil

import pytest
import sqlalchemy as sa
from written_runs import begin_content, write_run

from pipeline.cli.main import main
from pipeline.registry import ingestion, journal, store, tables, verification
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry
from pipeline.runs import folder as run_folder


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


def test_verify_succeeds_only_after_ingest(root, capsys):
    assert main(["registry", "verify", f"run.root={root}"]) == 2
    assert "has not been ingested" in capsys.readouterr().err
    main(["registry", "ingest", f"run.root={root}"])
    assert main(["registry", "verify", f"run.root={root}"]) == 0
    output = capsys.readouterr().out
    assert "2 runs agree" in output and "more" not in output
    shutil.rmtree(root / "a")
    assert main(["registry", "verify", f"run.root={root}"]) == 0
    output = capsys.readouterr().out
    assert "1 runs agree" in output and "1 more in the tables" in output


def test_ingest_records_the_end_of_killed_runs_only(root):
    for name in ("killed", "active"):
        (root / name).mkdir()
        journal.RunJournal(root / name / journal.FILE_NAME).add(Event.BEGIN, **begin_content(root / name))
    with run_folder.lock(root / "active"):
        assert main(["registry", "ingest", f"run.root={root}"]) == 0
    engine = store.create_engine(Registry(), root)
    with store.connect_read_only(engine) as connection:
        statuses = dict(connection.execute(sa.select(tables.run.c.name, tables.run.c.status)).all())
    assert statuses == {"a": "finished", "b": "finished", "killed": "interrupted", "active": "running"}
    assert verification.verify_journals(engine, root) == (4, [])


def test_ingest_records_no_end_in_a_changed_journal(root):
    path = write_run(root, "changed", status="running")
    engine = store.create_engine(Registry(), root)
    store.require_revision(engine)
    ingestion.ingest_journal(engine, path)
    path.write_bytes(before := path.read_bytes().replace(b"train", b"other"))
    main(["registry", "ingest", f"run.root={root}"])
    assert path.read_bytes() == before
    assert main(["registry", "verify", f"run.root={root}"]) == 2


def test_ingest_reports_a_damaged_journal_and_ingests_the_others(root, capsys):
    path = root / "a" / journal.FILE_NAME
    path.write_bytes(path.read_bytes()[:-5] + b"\n")
    assert main(["registry", "ingest", f"run.root={root}"]) == 2
    output = capsys.readouterr()
    assert "7 new lines" in output.out and f"{path}, byte" in output.err


def test_upgrade_prints_the_previous_revision(tmp_path, capsys):
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
        csv_values = [(row["metric"], float(row["value"])) for row in csv.DictReader(file)]
    json_rows = json.loads((root / "registry.export" / "evaluation.json").read_text())
    assert csv_values == [(row["metric"], row["value"]) for row in json_rows] == [("accuracy", 0.8), ("accuracy", 0.9)]
    names = {path.stem for path in (root / "registry.export").glob("*.csv")}
    assert names == {path.stem for path in (root / "registry.export").glob("*.json")}
    assert {"run", "architecture", "environment", "dataset", "epoch_metric", "drift_result"} <= names


def test_export_of_an_empty_table_is_an_empty_list(root):
    assert main(["registry", "export", f"run.root={root}"]) == 0
    assert json.loads((root / "registry.export" / "drift_result.json").read_text()) == []


MISTAKES = {
    "no registry": (["registry", "ingest", "registry.url=none"], "found none"),
    "an unknown action": (["registry", "ingset"], "Did you mean ingest?"),
    "a password in the URL": (["registry", "registry.url=postgresql://me:t0ps3cret@host/db"], "expected no password"),
    "another kind of database": (["registry", "registry.url=mysql://host/db"], "begins with 'mysql'"),
    "a password in the query of the URL": (
        ["registry", "registry.url=postgresql://b?password=t0ps3cret"],
        "expected no password",
    ),
    "a password under an encoded name": (
        ["registry", "registry.url=postgresql://b?pass%77ord=t0ps3cret"],
        "expected no password",
    ),
    "a password in an option with two values": (["registry", "registry.url=postgresql://a:t0ps3cret@b,c"], "a:***@b,c"),
    "an invalid port": (["registry", "registry.url=postgresql://me@host:port/db"], "port that cannot be read"),
    "a file that cannot be created": (
        ["registry", "registry.url=sqlite:////proc/registry.db"],
        "/proc/registry.db.lock",
    ),
    "an unreachable server": (["registry", "registry.url=postgresql://me@127.0.0.1:1/db"], "that answers"),
}


@pytest.mark.parametrize("arguments, expected", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_gives_a_short_message_and_status_2(arguments, expected, tmp_path, capsys):
    assert main([*arguments, f"run.root={tmp_path}"]) == 2
    message = capsys.readouterr().err
    assert expected in message and "t0ps3cret" not in message and len(message.splitlines()) <= 4


def train(folder, name, *overrides):
    """Train a run and return the digest of its weights."""
    arguments = [f"run.root={folder}/runs", f"run.name={name}", "training.epochs=2", "model.dropout=0.2", *overrides]
    assert main(["train", *arguments]) == 0
    return json.loads((folder / "runs" / name / "result.json").read_text())["weights_digest"]


@pytest.mark.slow
def test_registry_does_not_change_the_weights(tmp_path):
    assert train(tmp_path, "with") == train(tmp_path, "without", "registry.url=none")
    engine = store.create_engine(Registry(), tmp_path / "runs")
    assert ingestion.ingest_all(engine, tmp_path / "runs")[0] > 0  # the journal of the other run
    assert verification.verify_journals(engine, tmp_path / "runs") == (2, [])
