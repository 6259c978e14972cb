"""Killed at random moments and started again, as often as it takes: the same end as a run that is left alone.

The whole matrix is for a release: `make test-release`. A sample of it is drawn anew by every run of the slow tests,
from a seed that is printed; KILLS_SEED=N draws the same again.
"""

import json
import os
import random
import subprocess
import sys
import time

import pytest

from pipeline.__main__ import main

COMMON = [
    *("registry.url=none", "training.tensorboard=false", "evaluation.resamples=100"),
    *("training.checkpoints.steps=5", "training.checkpoints.keep=2"),
]
DIGITS = ["model.hidden=[16]", "model.dropout=0.3", "training.batch_size=32", "training.epochs=8"]
CASES = {
    "MLP with dropout": DIGITS,
    "CNN with batch normalisation": [
        *("model=cnn", "model.filters=[4]", "model.normalize=true", "training.batch_size=64", "training.epochs=8"),
    ],
    "GRU with variable lengths": [
        *("experiment=japanese_vowels_gru", "model.units=[8]", "training.batch_size=16", "training.epochs=10"),
    ],
    "cosine schedule": [*DIGITS, "optimizer=adam_cosine"],
    "early stopping": [
        *(*DIGITS, "optimizer=sgd", "optimizer.config.learning_rate=0.3", "training.epochs=30"),
        *("training.early_stopping.patience=2", "training.plateau.patience=1"),
    ],
    "mixed precision": [*DIGITS, "training.precision=mixed_float16"],
}
MATRIX = [(engine, case) for engine in ("fit", "tape") for case in CASES]
KILLS = 9  # of each cell for a release: 108 in all
SAMPLED, KILLS_SAMPLED = 4, 3  # cells, and kills of each: 12
WAIT = 180  # seconds a process may take to come to its next checkpoint


def start(root, name, overrides):
    command = [sys.executable, "-m", "pipeline", "train", f"run.root={root}", f"run.name={name}", *overrides]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def checkpoints_in(folder, ending):
    """Names of the files in a run's checkpoints folder, which a process may be changing, that end like this."""
    try:
        return {entry.name for entry in os.scandir(folder / "checkpoints") if entry.name.endswith(ending)}
    except FileNotFoundError:
        return set()


def wait_for(process, happened):
    """Whether something happened before a process ended."""
    until = time.monotonic() + WAIT
    while not happened():
        if process.poll() is not None:
            return False
        assert time.monotonic() < until
    return True


def while_writing(process, folder, numbers):
    """Wait for a moment when a checkpoint is being written."""
    return after_checkpoints(process, folder, numbers) and wait_for(process, lambda: checkpoints_in(folder, ".partial"))


def after_checkpoints(process, folder, numbers):
    """Wait until a process has written one to three checkpoints, and a moment longer."""
    for _ in range(numbers.randint(1, 3)):
        before = checkpoints_in(folder, ".ckpt")
        if not wait_for(process, lambda: checkpoints_in(folder, ".ckpt") - before):  # noqa: B023  called at once
            return False
    time.sleep(numbers.uniform(0, 0.05))
    return process.poll() is None


def at_any_time(process, folder, numbers):
    """Wait for a moment between the start of the process and, about, its first steps."""
    time.sleep(numbers.uniform(0, 8))
    return process.poll() is None


def outcome(folder):
    result = json.loads((folder / "result.json").read_text())
    kept = {key: result[key] for key in ("status", "weights_digest", "epochs", "best_epoch")}
    return kept, (folder / "metrics.jsonl").read_bytes()


def killed(root, engine, case, kills, numbers):
    """Kill runs of one cell so many times, and hold each that came to its end against the one left alone.

    Returns how many kills met a checkpoint's writing.
    """
    overrides = [f"training={engine}", *COMMON, *CASES[case]]
    assert main(["train", f"run.root={root}", "run.name=alone", *overrides]) == 0
    alone, met, done, run = outcome(root / "alone"), 0, 0, 0
    while True:
        folder = root / f"killed-{run}"
        process = start(root, folder.name, overrides)
        if done < kills:
            moment = (while_writing, after_checkpoints, at_any_time)[done % 3]
            if moment(process, folder, numbers):
                process.kill()
                if process.wait() == -9:
                    done += 1
                    met += bool(checkpoints_in(folder, ".partial"))
                process.stderr.close()
                continue
        error = process.communicate(timeout=WAIT)[1]
        assert process.returncode == 0, error
        assert outcome(folder) == alone
        if done == kills:
            return met
        run += 1


@pytest.mark.release
@pytest.mark.parametrize("engine, case", MATRIX, ids=[f"{engine}, {case}" for engine, case in MATRIX])
def test_a_run_that_was_killed_again_and_again_comes_to_the_same_end(tmp_path, capsys, engine, case):
    seed = int(os.environ.get("KILLS_SEED", random.SystemRandom().randrange(10**6)))
    met = killed(tmp_path, engine, case, KILLS, random.Random(seed))
    with capsys.disabled():
        print(f"\n{engine}, {case}: {KILLS} kills, {met} while a checkpoint was written; KILLS_SEED={seed}")


@pytest.mark.slow
def test_runs_drawn_at_random_and_killed_come_to_the_same_end(tmp_path, capsys):
    seed = int(os.environ.get("KILLS_SEED", random.SystemRandom().randrange(10**6)))
    numbers = random.Random(seed)
    cells = numbers.sample(MATRIX, SAMPLED)
    with capsys.disabled():
        print(f"\nKILLS_SEED={seed}: {'; '.join(', '.join(cell) for cell in cells)}", flush=True)
    met = 0
    for place, (engine, case) in enumerate(cells):
        (tmp_path / str(place)).mkdir()
        met += killed(tmp_path / str(place), engine, case, KILLS_SAMPLED, numbers)
    with capsys.disabled():
        print(f"{SAMPLED * KILLS_SAMPLED} kills, {met} while a checkpoint was written")
