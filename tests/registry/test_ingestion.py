"""The tables: every line of a journal in them once, in SQLite and PostgreSQL alike."""

import math
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from written_runs import FINGERPRINT, beginning, environment, judge, score, write_run

from pipeline.errors import RegistryError
from pipeline.registry import ingestion, journal, store, tables, verification
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry

HERE = Path(__file__).parent


def rows(engine, table, *columns):
    with store.connect_read_only(engine) as connection:
        chosen = [table.c[name] for name in columns] or [table]
        return [tuple(row) for row in connection.execute(sa.select(*chosen).order_by(*table.primary_key.columns))]


def count(engine, table):
    return len(rows(engine, table))


# ---- lines become rows ----------------------------------------------------------------------------------------------


def test_a_journal_becomes_the_rows_of_a_run(engine, tmp_path):
    ingestion.ingest_journal(engine, write_run(tmp_path, "a", epochs=2, accuracy=0.75))
    assert rows(engine, tables.run, "name", "status", "model", "epochs", "git_dirty") == [
        ("a", "finished", "mlp", 2, 0)
    ]
    assert rows(engine, tables.epoch_metric, "epoch", "metric", "value") == [
        *[(1, "accuracy", 0.0), (1, "loss", 1.0)],
        *[(2, "accuracy", 0.5), (2, "loss", 0.5)],
    ]
    columns = ("fingerprint", "split", "label", "metric", "value", "rows")
    assert rows(engine, tables.evaluation, *columns) == [(FINGERPRINT, "test", "digit", "accuracy", 0.75, 20)]
    assert rows(engine, tables.artifact, "path", "bytes") == [("model.keras", 7)]
    assert rows(engine, tables.event, "kind", "message") == [
        *[("begin", None), ("evaluation", None), ("artifact", None), ("end", "finished")]
    ]


def test_taking_in_again_changes_nothing(engine, tmp_path):
    path = write_run(tmp_path, "a")
    assert ingestion.ingest_journal(engine, path) == 7
    with store.connect_read_only(engine) as connection:
        before = verification.read_run(connection, journal.read_journal(path)[0])
    assert ingestion.ingest_journal(engine, path) == 0
    with store.connect_read_only(engine) as connection:
        assert verification.read_run(connection, journal.read_journal(path)[0]) == before


def test_another_run_in_the_same_folder_is_taken_in_although_its_journal_is_as_long(engine, tmp_path):
    path = write_run(tmp_path, "a")
    ingestion.ingest_all(engine, tmp_path)
    path.write_bytes(path.read_bytes().replace(journal.read_run_id(path).encode(), b"0" * 32))
    assert ingestion.ingest_all(engine, tmp_path) == (7, [])
    assert rows(engine, tables.run, "name") == [("a",), ("a",)]


def test_only_what_is_new_is_taken_in(engine, tmp_path):
    path = write_run(tmp_path, "a", epochs=2)
    ingestion.ingest_journal(engine, path)
    judge(journal.RunJournal(path), 0.5, split="validation")
    assert ingestion.ingest_journal(engine, path) == 1
    assert count(engine, tables.evaluation) == 2


def test_an_epoch_trained_again_after_a_crash_replaces_the_first(engine, tmp_path):
    path = write_run(tmp_path, "a", epochs=1)
    ingestion.ingest_journal(engine, path)
    journal.RunJournal(path).add(Event.EPOCH, epoch=1, metrics={"loss": 0.125, "accuracy": 1.0})
    ingestion.ingest_journal(engine, path)
    assert rows(engine, tables.epoch_metric, "value") == [(1.0,), (0.125,)]


def test_what_runs_share_is_stored_once(engine, tmp_path):
    for number in range(3):
        ingestion.ingest_journal(engine, write_run(tmp_path, f"run-{number}", units=20 if number == 2 else 10))
    assert (count(engine, tables.run), count(engine, tables.architecture)) == (3, 2)
    assert (count(engine, tables.environment), count(engine, tables.dataset)) == (1, 1)


def test_a_run_that_goes_on_elsewhere_keeps_its_start_and_shows_its_newest_environment(engine, tmp_path):
    path = write_run(tmp_path, "a", lock="1" * 64, status="interrupted")
    ingestion.ingest_journal(engine, path)
    (started,) = rows(engine, tables.run, "started")
    journal.RunJournal(path).add(Event.BEGIN, **beginning(path.parent, lock="2" * 64))
    ingestion.ingest_journal(engine, path)
    assert rows(engine, tables.run, "started", "status", "ended") == [(*started, "running", None)]
    query = sa.select(tables.environment.c.lock_digest).join(tables.run)
    with store.connect_read_only(engine) as connection:
        assert connection.scalars(query).all() == ["2" * 64]


HOSTILE = [
    "'; DROP TABLE run; --",
    '"); DELETE FROM epoch_metric; --',
    "%s %(name)s :name ? $1 {}",
    "日本語 ß 🚀 \u202e",
    "new\nline\ttab\\",
    "NULL",
    "",
]


def test_a_url_that_cannot_be_read_is_not_shown(tmp_path):
    with pytest.raises(RegistryError, match="cannot be read") as told:
        store.create_engine(Registry(url="postgresql://trainer:sec/ret"), tmp_path)
    assert "sec" not in str(told.value)


def test_words_of_sql_and_of_any_script_stay_words(engine, tmp_path):
    metrics = {word: float(place) for place, word in enumerate(HOSTILE)}
    for place, word in enumerate(HOSTILE):
        path = tmp_path / str(place) / journal.FILE_NAME
        path.parent.mkdir()
        journal.RunJournal(path).add(Event.BEGIN, **beginning(path.parent, name=word, command=word))
        journal.RunJournal(path).add(Event.EPOCH, epoch=1, metrics=metrics)
        judge(journal.RunJournal(path), 0, metrics={word: {word: score(1.0)}})
        ingestion.ingest_journal(engine, path)
    assert sorted(rows(engine, tables.run, "name", "command")) == sorted((word, word) for word in HOSTILE)
    assert sorted(rows(engine, tables.evaluation, "label", "metric")) == sorted((word, word) for word in HOSTILE)
    assert set(rows(engine, tables.epoch_metric, "metric", "value")) == set(metrics.items())
    assert verification.verify_journals(engine, tmp_path) == (len(HOSTILE), [])


def test_words_that_a_database_cannot_hold_are_kept_escaped(engine, tmp_path):
    path = tmp_path / "a" / journal.FILE_NAME
    path.parent.mkdir()
    journal.RunJournal(path).add(Event.BEGIN, **beginning(path.parent, command="a\0b\udcff"))
    ingestion.ingest_journal(engine, path)
    assert rows(engine, tables.run, "command") == [("a\\x00b\\udcff",)]
    assert verification.verify_journals(engine, tmp_path) == (1, [])


def test_numbers_that_are_not_finite_are_told_apart_and_spoil_no_average(engine, tmp_path):
    path = write_run(tmp_path, "a", epochs=0)
    metrics = {"nan": math.nan, "up": math.inf, "down": -math.inf, "one": 1.0}
    journal.RunJournal(path).add(Event.EPOCH, epoch=1, metrics=metrics)
    judge(journal.RunJournal(path), 0, metrics={"digit": {"r2": score(-math.inf, math.nan, math.inf)}})
    ingestion.ingest_journal(engine, path)
    assert rows(engine, tables.epoch_metric, "metric", "value", "not_finite") == [
        *[("down", None, "-inf"), ("nan", None, "nan"), ("one", 1.0, None), ("up", None, "inf")]
    ]
    with store.connect_read_only(engine) as connection:
        assert connection.scalar(sa.select(sa.func.avg(tables.epoch_metric.c.value))) == 1.0
    assert ("r2", None, "-inf", None) in rows(engine, tables.evaluation, "metric", "value", "not_finite", "low")
    assert verification.verify_journals(engine, tmp_path) == (1, [])


def test_doubles_come_back_exactly(engine, tmp_path):
    numbers = random.Random(0)
    values = [5e-324, 1.7976931348623157e308, 0.1 + 0.2, *(numbers.gauss(0, 1e6) for _ in range(200))]
    path = write_run(tmp_path, "a", epochs=0)
    journal.RunJournal(path).add(Event.EPOCH, epoch=1, metrics={f"{place:04d}": v for place, v in enumerate(values)})
    ingestion.ingest_journal(engine, path)
    assert [value for (value,) in rows(engine, tables.epoch_metric, "value")] == values


# ---- journals that are not what they were ---------------------------------------------------------------------------


def test_a_copied_run_that_went_on_elsewhere_is_refused_and_misfiles_nothing(engine, tmp_path):
    path = write_run(tmp_path, "a")
    shutil.copytree(path.parent, tmp_path / "copy")
    for folder, accuracy in (("a", 0.1), ("copy", 0.2)):
        judge(journal.RunJournal(tmp_path / folder / journal.FILE_NAME), accuracy, split="validation")
    ingestion.ingest_journal(engine, path)
    with pytest.raises(RegistryError, match="copy of a run"):
        ingestion.ingest_journal(engine, tmp_path / "copy" / journal.FILE_NAME)
    assert rows(engine, tables.evaluation, "split", "value") == [("test", 0.9), ("validation", 0.1)]


def test_a_journal_that_was_changed_is_refused(engine, tmp_path):
    path = write_run(tmp_path, "a")
    ingestion.ingest_journal(engine, path)
    path.write_bytes(path.read_bytes().replace(b'"loss": 0.5', b'"loss": 0.4'))
    with pytest.raises(RegistryError, match="It was changed"):
        ingestion.ingest_journal(engine, path)
    assert verification.verify_journals(engine, tmp_path)[0] == 0


def test_a_damaged_journal_keeps_no_other_out(engine, tmp_path):
    damaged, whole = write_run(tmp_path, "a"), write_run(tmp_path, "b")
    damaged.write_bytes(damaged.read_bytes()[:-10] + b"}}}}}}}}}\n")
    lines, problems = ingestion.ingest_all(engine, tmp_path)
    assert lines == 7 and len(problems) == 1 and str(damaged) in problems[0]
    assert rows(engine, tables.run, "name") == [("b",)]
    assert whole.exists()


def test_a_journal_that_another_process_has_just_opened_is_passed_over(engine, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / journal.FILE_NAME).touch()
    assert ingestion.ingest_all(engine, tmp_path) == (0, [])
    assert verification.verify_journals(engine, tmp_path) == (0, [])
    assert count(engine, tables.run) == 0


def test_a_row_changed_by_hand_is_found_by_verify(engine, tmp_path):
    ingestion.ingest_journal(engine, write_run(tmp_path, "a"))
    ingestion.ingest_journal(engine, write_run(tmp_path, "b"))
    with engine.begin() as connection:
        connection.execute(sa.update(tables.evaluation).where(tables.evaluation.c.run_id == 1).values(value=0.99))
    agreeing, (difference,) = verification.verify_journals(engine, tmp_path)
    assert agreeing == 1
    assert "evaluation" in difference and str(tmp_path / "a") in difference


def test_a_run_that_was_not_taken_in_is_found_by_verify(engine, tmp_path):
    write_run(tmp_path, "a")
    agreeing, (difference,) = verification.verify_journals(engine, tmp_path)
    assert agreeing == 0 and "not been taken in" in difference


# ---- many at once, and killed ---------------------------------------------------------------------------------------


def write_at_once(config, root, writers, epochs):
    url = "null" if config is None else config.url
    command = [sys.executable, HERE / "writer.py", url, root]
    started = [
        subprocess.Popen([*command, f"run-{number}", str(epochs)], env=environment(), stderr=subprocess.PIPE, text=True)
        for number in range(writers)
    ]
    said = [writer.communicate(timeout=500)[1] for writer in started]
    assert [writer.returncode for writer in started] == [0] * writers, said
    assert said == [""] * writers


def hold_all(engine, root, writers, epochs):
    """Nothing lost, nothing doubled, nothing misfiled."""
    query = (
        sa.select(tables.run.c.name, tables.run.c.command, tables.run.c.status, sa.func.count())
        .join(tables.epoch_metric)
        .where(tables.epoch_metric.c.metric.in_(["loss", tables.run.c.name]))
        .group_by(tables.run.c.id)
    )
    with store.connect_read_only(engine) as connection:
        found = [tuple(row) for row in connection.execute(query)]
    names = [f"run-{number}" for number in range(writers)]
    assert sorted(found) == sorted((name, name, "finished", 2 * epochs) for name in names)
    assert count(engine, tables.epoch_metric) == 2 * epochs * writers
    assert (count(engine, tables.architecture), count(engine, tables.dataset)) == (1, 1)
    assert verification.verify_journals(engine, root) == (writers, [])


def test_several_processes_share_a_fresh_registry(registry, tmp_path):
    write_at_once(registry, tmp_path, 4, 5)
    hold_all(store.create_engine(registry, tmp_path), tmp_path, 4, 5)


@pytest.mark.slow
def test_64_processes_share_a_fresh_registry(registry, tmp_path):
    write_at_once(registry, tmp_path, 64, 20)
    hold_all(store.create_engine(registry, tmp_path), tmp_path, 64, 20)


@pytest.mark.slow
def test_many_processes_make_the_file_that_no_run_has_made_before(tmp_path):
    write_at_once(None, tmp_path, 16, 5)
    hold_all(store.create_engine(store_config(), tmp_path), tmp_path, 16, 5)


def store_config():
    from pipeline.config import Registry

    return Registry()


KILLED = """
import os, sys, time
from pipeline.registry import ingestion, journal, store, verification
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry
engine = store.create_engine(Registry(url=sys.argv[1]), "")
kept = journal.RunJournal(sys.argv[2])
ingestion.ingest_journal(engine, sys.argv[2])
print("ready", flush=True)
for epoch in range(1, 100_000):
    kept.add(Event.EPOCH, epoch=epoch, metrics={f"metric {number}": epoch + number for number in range(40)})
    ingestion.ingest_journal(engine, sys.argv[2])
"""


@pytest.mark.slow
def test_a_writer_killed_50_times_at_random_loses_and_doubles_nothing(registry, engine, tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    path = write_run(tmp_path, "a", epochs=0)
    for _ in range(50):
        command = [sys.executable, "-c", KILLED, registry.url, path]
        writer = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"ready\n"
        try:
            writer.wait(moments.uniform(0, 0.1))
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
    ingestion.ingest_journal(engine, path)
    written = {
        line["epoch"] for _, line in journal.parse_lines(path, *of_content(path)) if line["event"] == Event.EPOCH
    }
    assert count(engine, tables.epoch_metric) == 40 * len(written) > 0
    assert verification.verify_journals(engine, tmp_path) == (1, [])


def of_content(path):
    _, head, content = journal.read_journal(path)
    return content, head


def test_two_that_take_the_same_journal_in_at_once_count_no_line_twice(engine, tmp_path):
    paths = [write_run(tmp_path, f"run-{number}") for number in range(10)]
    taken = []
    threads = [
        threading.Thread(target=lambda: taken.append(sum(ingestion.ingest_journal(engine, path) for path in paths)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 7 * len(paths)
    assert verification.verify_journals(engine, tmp_path) == (len(paths), [])
