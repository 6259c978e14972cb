"""Fixtures for every test: a deterministic TensorFlow, and Keras in the state of a new process."""

import importlib
import os
import signal
import subprocess
import sys
import textwrap

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

from pipeline import custom_code, logs, members
from pipeline.data import splits
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.runtime import determinism

SEED, THREADS = 0, 2
MACHINE_SPEED = """
import time
start = time.perf_counter()
s = 0
for i in range(10_000_000):
    s += i
print(f"{time.perf_counter() - start:.1f}")
"""


def pytest_terminal_summary(terminalreporter, config):
    """Print the speed of the machine next to the durations, which depend on it."""
    if config.option.durations is not None:
        # without site-packages, so that coverage does not slow it down
        command = [sys.executable, "-S", "-c", MACHINE_SPEED]
        seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        terminalreporter.write_line(f"machine: Python adds ten million numbers in {seconds} s")


@pytest.fixture(scope="session", autouse=True)
def strict():
    """Fix threads and kernels before TensorFlow starts. Both cannot be changed later in the process."""
    determinism.prepare("strict", seed=SEED, threads=THREADS)


@pytest.fixture(scope="session", autouse=True)
def messages():
    """Messages go to stderr, as for every command."""
    logs.configure()


@pytest.fixture(autouse=True)
def fresh_keras(strict):
    """Reset Keras's name counters, precision and random state, which an earlier test may have changed."""
    keras.backend.clear_session(free_memory=False)
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(SEED)


@pytest.fixture(autouse=True)
def fresh_signals():
    """Restore the handlers of stop signals, which an interrupted command leaves ignored until its process ends."""
    yield
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def digits():
    return splits.load(Digits())


@pytest.fixture(scope="session")
def vowels():
    return splits.load(JapaneseVowels())


@pytest.fixture
def custom_file(tmp_path, monkeypatch):
    """Return a function that writes a file under custom/, given its path there and its text."""
    folder = tmp_path / "custom"
    monkeypatch.setattr(custom_code, "PROJECT", tmp_path)
    for module in (custom_code, members):
        monkeypatch.setattr(module, "CUSTOM", folder)
    monkeypatch.syspath_prepend(tmp_path)
    forget_custom_code()

    def write(path, text):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        return file

    yield write
    forget_custom_code()


def forget_custom_code():
    """Make the next use of custom/ import it again."""
    members.members.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "custom"]:
        del sys.modules[name]
