"""Look up known vulnerabilities of the locked packages: `make audit`.

Exit status 0: none; 1: a package has one; 3: not all packages could be looked up, without network or on an index
without PyPI's vulnerability service.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
# requirements.txt includes the packages of requirements-cpu.txt
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-install.txt", "requirements-parquet.txt")
VULNERABLE, UNKNOWN = 1, 3  # exit statuses


def main(locks: list[str]) -> int:
    """Audit the locks, by default all of the project. Returns the exit status."""
    return max(audit(Path(lock)) for lock in locks or [PROJECT / name for name in LOCKS])


def audit(lock: Path) -> int:
    """Print the known vulnerabilities of one lock. Returns its exit status."""
    expected = len(re.findall(r"^[\w.-]+==", lock.read_text(), re.MULTILINE))
    found, message = look_up(lock)
    if found is None or len(found) != expected or any("skip_reason" in package for package in found):
        reason = next((line for line in reversed(message.splitlines()) if line.strip()), "pip-audit printed nothing")
        print(
            f"error: {lock.name}: expected an answer for all {expected} packages; found fewer: {reason.strip()}\n"
            "Vulnerabilities are unknown. Try again with a network that reaches pypi.org.",
            file=sys.stderr,
        )
        return UNKNOWN
    vulnerable = [package for package in found if package["vulns"]]
    for package in vulnerable:
        for known in package["vulns"]:
            fixed = ", ".join(known["fix_versions"]) or "none yet"
            print(f"{lock.name}: {package['name']} {package['version']}: {known['id']}, fixed in: {fixed}")
    print(f"{lock.name}: {len(vulnerable)} of {expected} packages have known vulnerabilities")
    return VULNERABLE if vulnerable else 0


def look_up(lock: Path) -> tuple[list[dict[str, Any]] | None, str]:
    """Return the packages that pip-audit reports, None if it failed, and its stderr."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        options = ["--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, "--output", answer, "--requirement", lock],
            capture_output=True,
            text=True,
            check=False,
        )
        if not answer.exists() or not answer.read_text().strip():
            return None, done.stderr
        return json.loads(answer.read_text())["dependencies"], done.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
