"""Killed or asked to stop at random moments and started again, as often as it takes: the end of a run left alone.

The whole matrix is for a release: `make test-release`. A sample of it is drawn anew by every run of the slow tests,
from a seed that is printed; KILLS_SEED=N draws the same again.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from itertools import count

import pytest

from pipeline.cli.main import main

COMMON = [
    *("registry.url=none", "training.tensorboard=false", "evaluation.resamples=100"),
    *("training.checkpoints.steps=5", "training.checkpoints.keep=2"),
]
DIGITS = ["model.hidden=[16]", "model.dropout=0.3", "training.batch_size=32", "training.epochs=8"]
SUPERVISED = {
    "MLP with dropout": DIGITS,
    "CNN with batch normalisation": [
        *("model=cnn", "model.filters=[4]", "model.normalize=true", "training.batch_size=64", "training.epochs=8"),
    ],
    "GRU with variable lengths": [
        *("experiment=japanese_vowels_gru", "model.units=[8]", "training.batch_size=16", "training.epochs=10"),
    ],
    "cosine schedule": [*DIGITS, "optimizer=adam_cosine"],
    "early stopping": [
        *(*DIGITS, "optimizer=sgd", "optimizer.learning_rate=0.3", "training.epochs=30"),
        *("training.early_stopping.patience=2", "training.plateau.patience=1"),
    ],
    "mixed precision": [*DIGITS, "training.precision=mixed_float16"],
}
TAPE_ONLY = {
    "adversarial": [
        *("experiment=digits_gan", "model.generator=[16]", "model.critic=[16]", "objective.critic_steps=2"),
        *("data=synthetic", "data.shape=[4,4,1]", "data.classes=2", "data.rows=1000", "data.split.validation=0"),
        *("training.batch_size=32", "training.epochs=8"),  # no validation: its judge takes longer than all else
    ],
    "meta-learning": [
        *("experiment=sinusoids_maml", "data.tasks=400", "data.held_out=20", "model.hidden=[8]"),
        *("training.batch_size=10", "training.epochs=8"),
    ],
    "tasks with learned weights": [
        *("experiment=digits_multi_task", "model.filters=[4]", "training.batch_size=64", "training.epochs=8"),
    ],
    "regularised": [
        *(*DIGITS, "regularization.mixup=0.2", "regularization.gradient_penalty=0.01"),
        "+regularization.weight_decay={dense*:0.001}",
    ],
}
CASES = SUPERVISED | TAPE_ONLY
MATRIX = [("fit", case) for case in SUPERVISED] + [("tape", case) for case in CASES]
KILLS, REQUESTS = 7, 2  # of each cell for a release: 112 kills in all, and 32 requests to stop
SAMPLED, KILLS_SAMPLED, REQUESTS_SAMPLED = 2, 3, 1  # cells, and kills and requests of each: 6 and 2
WAIT = 600  # seconds a process may take to come to its next checkpoint


def log_of(folder):
    """The file of all that the processes of a run print."""
    return folder.with_suffix(".log")


def start(folder, overrides):
    command = [sys.executable, "-m", "pipeline", "train", f"run.root={folder.parent}", f"run.name={folder.name}"]
    with log_of(folder).open("ab") as log:
        return subprocess.Popen([*command, *overrides], stdout=log, stderr=log)


def checkpoints_in(folder, ending):
    """Names of the files in a run's checkpoints folder, which a process may be changing, that end like this."""
    try:
        return {entry.name for entry in os.scandir(folder / "checkpoints") if entry.name.endswith(ending)}
    except FileNotFoundError:
        return set()


def drafts_of(process, folder):
    return checkpoints_in(folder, f".{process.pid}.partial")


def wait_for(process, happened, pause):
    """Whether something happened before a process ended, looked for every `pause` seconds."""
    until = time.monotonic() + WAIT
    while not happened():
        if process.poll() is not None:
            return False
        assert time.monotonic() < until
        time.sleep(pause)
    return True


# ---- moments: each waits for one, and returns whether it came before the process ended -----------------------------


def while_writing(process, folder, numbers):
    """A checkpoint is being written."""
    return after_checkpoints(process, folder, numbers) and wait_for(process, lambda: drafts_of(process, folder), 0)


def after_checkpoints(process, folder, numbers):
    """The process has written one to three checkpoints, and gone on for a moment."""
    for _ in range(numbers.randint(1, 3)):
        before = checkpoints_in(folder, ".ckpt")
        if not wait_for(process, lambda: checkpoints_in(folder, ".ckpt") - before, 0.002):  # noqa: B023  called at once
            return False
    time.sleep(numbers.uniform(0, 0.05))
    return process.poll() is None


def at_any_time(process, folder, numbers):
    """Between the start of the process and, about, its first steps."""
    time.sleep(numbers.uniform(0, 8))
    return process.poll() is None


# ---- blows: each returns whether it ended the process --------------------------------------------------------------


def kills(times, numbers, met):
    """So many blows of SIGKILL. met: told of each whether it left a checkpoint half written."""

    def at(moment):
        def kill(process, folder):
            if not moment(process, folder, numbers):
                return False
            process.kill()
            if process.wait() != -signal.SIGKILL:
                return False
            met.append(bool(drafts_of(process, folder)))
            return True

        return kill

    moments = (while_writing, after_checkpoints, at_any_time)
    return [at(moments[place % len(moments)]) for place in range(times)]


def requests(times, numbers):
    """So many blows of SIGTERM, each answered by a checkpoint."""

    def ask(process, folder):
        if not after_checkpoints(process, folder, numbers):
            return False
        process.terminate()
        return process.wait(WAIT) == 75

    return [ask] * times


def comes_to_the_same_end(root, engine, case, blows):
    """Deal each blow to a process of a run, and hold every run that came to its end against the one left alone."""
    overrides = [f"training={engine}", *COMMON, *CASES[case]]
    assert main(["train", f"run.root={root}", "run.name=alone", *overrides]) == 0
    alone = outcome(root / "alone")
    for number in count():
        folder = root / f"disturbed-{number}"
        process = start(folder, overrides)
        while blows and blows[0](process, folder):
            del blows[0]
            process = start(folder, overrides)
        status = process.wait(WAIT)
        log = log_of(folder).read_text()
        assert status == 0, log
        assert outcome(folder) == alone
        nothing_was_done_twice(log)
        if not blows:
            return


def outcome(folder):
    result = json.loads((folder / "result.json").read_text())
    kept = {key: result[key] for key in ("status", "weights_digest", "epochs", "best_epoch")}
    return kept, (folder / "metrics.jsonl").read_bytes()


def nothing_was_done_twice(log):
    """Hold where processes went on against where those before them stopped on request, as a run's output tells."""
    stop = r"^SIGTERM: stopped after epoch (\d+)(?:, step (\d+))? of \d+, checkpoint saved"
    going_on = r"resuming after epoch (\d+)(?:, step (\d+))?$"
    pairs = re.findall(f"{stop}(?s:.*?){going_on}", log, re.MULTILINE)
    assert len(pairs) == log.count("SIGTERM: ")
    for epoch, step, epochs_done, step_done in pairs:
        assert (int(epoch) - bool(step), step) == (int(epochs_done), step_done)


def seeded():
    return int(os.environ.get("KILLS_SEED", random.SystemRandom().randrange(10**6)))


@pytest.mark.release
@pytest.mark.parametrize("engine, case", MATRIX, ids=[f"{engine}, {case}" for engine, case in MATRIX])
def test_a_run_that_was_disturbed_again_and_again_comes_to_the_same_end(tmp_path, capsys, engine, case):
    seed, met = seeded(), []
    numbers = random.Random(seed)
    comes_to_the_same_end(tmp_path, engine, case, kills(KILLS, numbers, met) + requests(REQUESTS, numbers))
    with capsys.disabled():
        print(f"\n{engine}, {case}: {len(met)} kills, {sum(met)} while a checkpoint was written; KILLS_SEED={seed}")
    assert any(met)


@pytest.mark.slow
def test_runs_drawn_at_random_and_disturbed_come_to_the_same_end(tmp_path, capsys):
    seed, met = seeded(), []
    numbers = random.Random(seed)
    cells = numbers.sample(MATRIX, SAMPLED)
    with capsys.disabled():
        print(f"\nKILLS_SEED={seed}: {'; '.join(', '.join(cell) for cell in cells)}", flush=True)
    for place, (engine, case) in enumerate(cells):
        root = tmp_path / str(place)
        root.mkdir()
        blows = kills(KILLS_SAMPLED, numbers, met) + requests(REQUESTS_SAMPLED, numbers)
        comes_to_the_same_end(root, engine, case, blows)
    with capsys.disabled():
        print(f"{len(met)} kills, {sum(met)} while a checkpoint was written")
