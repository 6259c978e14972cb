"""Candidates for the lock: solve one with another version of a package, check it, and install its environment.

scripts/candidate and scripts/environment do the work, with the same hash-checked installation as everywhere.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.errors import ConfigError, EnvironmentMismatch, nearest
from pipeline.runtime import environment

PIN = re.compile(r"[A-Za-z0-9][\w.-]*==[^\s;]+(\s*;[^\\]*?)?(\s+--hash=sha256:[0-9a-f]{64})+")
ASKED = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)")
MAX_LINES = 12  # lines of a script's output that an error repeats


def check(lock: str | Path) -> None:
    """Check that every entry of a lock file is `name==version` with its hashes.

    Raises:
        ConfigError: One is not; with the line.
    """
    try:
        lines = Path(lock).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{lock}: expected a lock, as `make lock` writes it; {error}.") from None
    entries = 0
    for number, entry in _entries(lines):
        entries += 1
        if not PIN.fullmatch(entry):
            excerpt = entry if len(entry) <= 80 else entry[:77] + "..."
            raise ConfigError(
                f"{lock}, line {number}: expected NAME==VERSION and a --hash=sha256: of 64 digits for each file; found "
                f"{excerpt!r}. Locks are not written by hand: solve one with qualify.package=NAME==VERSION."
            )
    if not entries:
        raise ConfigError(f"{lock}: expected a lock, as `make lock` writes it; found no package in it.")


def _entries(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield (number of its first line, text) of each entry, with continued lines joined and without comments."""
    number, entry = 0, ""
    for position, line in enumerate(lines, 1):
        line = re.sub(r"(^|\s)#.*$", "", line)
        if not entry:
            number = position
        entry = f"{entry} {line.removesuffix(chr(92)).strip()}".strip()
        if entry and not line.endswith("\\"):
            yield number, entry
            entry = ""
    if entry:
        yield number, entry


def changes(*, baseline: str | Path, candidate: str | Path) -> list[str]:
    """Return one line per package whose versions in two lock files differ, or that only one of them has."""
    then, now = environment.locked(baseline), environment.locked(candidate)
    return [
        f"{name} {then.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]


def solved(package: str, baseline: str | Path, folder: Path) -> Path:
    """Solve a lock file like the baseline, with another version of one package.

    Args:
        package: NAME==VERSION.
        baseline: The lock file to start from.
        folder: The folder for the candidates.

    Returns:
        The path of the lock file.

    Raises:
        ConfigError: The baseline has no such package.
        EnvironmentMismatch: No versions fit together.
    """
    asked = ASKED.fullmatch(package)
    if not asked:
        raise ConfigError(f"qualify.package: expected NAME==VERSION, such as keras==3.15.1; found {package!r}.")
    known = environment.locked(baseline)
    name = environment.normalized(asked[1])
    if name not in known:
        raise ConfigError(f"qualify.package: {Path(baseline).name} has no {name}. {nearest(name, known)}")
    target = folder / f"{name}-{asked[2]}"
    _call(f"could not solve {package} into a lock", "candidate", Path(baseline).stem, package, target.absolute())
    return target / Path(baseline).name


def python_of(lock: str | Path, folder: Path) -> str:
    """Return the Python of an environment with exactly the packages of a lock file, installed if it does not exist.

    Args:
        lock: The lock file.
        folder: The folder for the environments.

    Raises:
        EnvironmentMismatch: It cannot be installed, for example because a hash differs; with the output of pip.
    """
    output = _call(f"could not install {lock}", "environment", Path(lock).absolute(), folder.absolute())
    return output.splitlines()[-1]


def _call(error: str, script: str, *arguments: str | Path) -> str:
    """Run a script and return what it prints. What it logs meanwhile goes to stderr, since it can take minutes."""
    path = environment.PROJECT / "scripts" / script
    if not path.exists():
        raise EnvironmentMismatch(
            f"{path}: expected the scripts of the project; the image has none. Use `make qualify`."
        )
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise EnvironmentMismatch("\n  ".join([f"{error}. Output:", *lines[-MAX_LINES:]]))
    return done.stdout
