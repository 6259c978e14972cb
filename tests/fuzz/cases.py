"""One case after another of a format: the mutation, the files, the outcome."""

import os
import random
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fuzz.csv_files import CSV
from fuzz.grammar import Format, Verdict
from fuzz.idx_files import IDX
from fuzz.image_folders import IMAGES
from fuzz.npz_files import NPZ
from fuzz.outcomes import fault, keep, read_values
from fuzz.sequence_files import SEQUENCES
from fuzz.shard_folders import SHARDS

from pipeline.overrides import shell_argument

FORMATS = {format.name: format for format in (CSV, NPZ, IDX, SEQUENCES, IMAGES, SHARDS)}
LARGEST = 1 << 20  # bytes of a file that is changed twice
SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)


@dataclass(frozen=True)
class Fault:
    """A case that went wrong."""

    mutation: str
    number: int
    reason: str
    repeat: str


def run(format: Format, number: int, folder: Path) -> Fault | None:
    """Run one case. Its folder is removed if the outcome is as the mutation says.

    Args:
        format: The format of the files.
        number: Of the case. With the seed, it decides the mutation and all that is random in it. Mutations take
            turns, and after each has had one, every second case has a second mutation, whose result may be anything.
        folder: For the files of the case. It must not exist.
    """
    chooser = random.Random(f"{SEED} {format.name} {number}")
    mutations = [format.mutations[number % len(format.mutations)]]
    if number // len(format.mutations) % 2:
        mutations.insert(0, chooser.choice(format.mutations))
    shutil.copytree(format.sample, folder)
    changed = mutations[0].change(chooser, folder) or {}
    if len(mutations) == 2 and _are_plain(folder):
        with suppress(Exception):  # the second mutation does not know the first one's result
            changed |= mutations[1].change(chooser, folder) or {}
    verdict = mutations[0].verdict if len(mutations) == 1 else Verdict.ANY
    options = format.options_in(folder, changed)
    reason = fault(lambda: read_values(format.open(options)), verdict, lambda: _sample_values(format.name))
    if reason is None:
        shutil.rmtree(folder)
        return None
    name = " + ".join(mutation.name for mutation in mutations)
    repeat = _command(format, options)
    keep(folder, f"{name}: expected to {verdict.value}\n{reason}\n{repeat}\nFUZZ_SEED={SEED}, case {number}")
    return Fault(name, number, reason, repeat)


def _are_plain(folder: Path) -> bool:
    """Return whether all files are small regular files, which another mutation can read."""
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return all(not path.is_symlink() and path.is_file() and path.stat().st_size < LARGEST for path in files)


@cache
def _sample_values(format_name: str) -> dict:
    """Return the values of the valid sample, read once per process."""
    format = FORMATS[format_name]
    return read_values(format.open(format.options_in(format.sample)))


def _command(format: Format, options: dict) -> str:
    arguments = [
        f"data={format.source.choice}",
        *(shell_argument(f"data.{key}", value) for key, value in options.items()),
    ]
    return f"python -m pipeline check {' '.join(arguments)}"
