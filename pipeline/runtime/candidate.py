"""Environments beside the one in use: a lock solved with another version of a package, checked and installed.

The work is done by scripts/candidate and scripts/environment, with the same hash-checked install as everywhere.
"""

import re
import subprocess
from pathlib import Path

from pipeline.errors import ConfigError, EnvironmentMismatch, nearest
from pipeline.runtime import environment

PIN = re.compile(r"[A-Za-z0-9][\w.-]*==[^\s;]+(\s*;[^\\]*?)?(\s+--hash=sha256:[0-9a-f]{64})+")
ASKED = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)")
SHOWN = 12  # lines of a tool's own words that an error repeats


def check(lock):
    """Hold every entry of a lock to `name==version` with its hashes. Raises ConfigError naming the line."""
    try:
        lines = Path(lock).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{lock}: expected a lock, as `make lock` writes it; {error}.") from None
    entries = 0
    for number, entry in _entries(lines):
        entries += 1
        if not PIN.fullmatch(entry):
            shown = entry if len(entry) <= 80 else entry[:77] + "..."
            raise ConfigError(
                f"{lock}, line {number}: expected NAME==VERSION and a --hash=sha256: of 64 digits for each file; found "
                f"{shown!r}. Locks are not written by hand: solve one with qualify.package=NAME==VERSION."
            )
    if not entries:
        raise ConfigError(f"{lock}: expected a lock, as `make lock` writes it; found no package in it.")


def _entries(lines):
    """Yield (number of its first line, text) of each entry, continued lines joined and comments left out."""
    number, entry = 0, ""
    for place, line in enumerate(lines, 1):
        line = re.sub(r"(^|\s)#.*$", "", line)
        if not entry:
            number = place
        entry = f"{entry} {line.removesuffix(chr(92)).strip()}".strip()
        if entry and not line.endswith("\\"):
            yield number, entry
            entry = ""
    if entry:
        yield number, entry


def changes(baseline, candidate):
    """Lines naming the packages that two locks have at different versions, or in one of them only."""
    then, now = environment.locked(baseline), environment.locked(candidate)
    return [
        f"{name} {then.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]


def solved(package, baseline, folder):
    """The path of a lock like the baseline with one package at another version: package is NAME==VERSION.

    Raises ConfigError where the baseline has no such package, EnvironmentMismatch where nothing fits together.
    """
    asked = ASKED.fullmatch(package)
    if not asked:
        raise ConfigError(f"qualify.package: expected NAME==VERSION, such as keras==3.15.1; found {package!r}.")
    known = environment.locked(baseline)
    name = environment.normalised(asked[1])
    if name not in known:
        raise ConfigError(f"qualify.package: {Path(baseline).name} has no {name}. {nearest(name, known)}")
    target = folder / f"{name}-{asked[2]}"
    _call(f"could not solve {package} into a lock", "candidate", Path(baseline).stem, package, target.absolute())
    return target / Path(baseline).name


def python_of(lock, folder):
    """The Python of an environment that holds exactly what a lock names, made under `folder` where there is none.

    Raises EnvironmentMismatch with pip's own words where it cannot be made: a hash that differs, a version that is not
    there, packages that do not go together.
    """
    made = _call(f"could not install {lock}", "environment", Path(lock).absolute(), folder.absolute())
    return made.splitlines()[-1]


def _call(what, script, *arguments):
    """What one of the scripts prints. What it says meanwhile goes to stderr, where it takes minutes."""
    path = environment.PROJECT / "scripts" / script
    if not path.exists():
        raise EnvironmentMismatch(f"{path}: expected the project's scripts, which its image lacks. Use `make qualify`.")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise EnvironmentMismatch("\n  ".join([f"{what}. It says:", *words[-SHOWN:]]))
    return done.stdout
