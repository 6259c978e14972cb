"""Look for known vulnerabilities of what the locks pin: `make audit`. It passes only where every package was looked up.

Ends with 0 for none, 1 where a package has one, 3 where not all could be looked up: no network, or an index without the
vulnerability service of PyPI.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[1]
# requirements.txt includes the packages of requirements-cpu.txt
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-install.txt")
VULNERABLE, CANNOT_TELL = 1, 3  # exit statuses


def main(locks):
    return max(audit(Path(lock)) for lock in locks or [PROJECT / name for name in LOCKS])


def audit(lock):
    """Tell what is known of one lock. Returns the exit status for it."""
    wanted = len(re.findall(r"^[\w.-]+==", lock.read_text(), re.MULTILINE))
    found, words = looked_up(lock)
    if found is None or len(found) != wanted or any("skip_reason" in package for package in found):
        reason = next((line for line in reversed(words.splitlines()) if line.strip()), "pip-audit said nothing")
        print(
            f"error: {lock.name}: expected news of all {wanted} packages; found not all of them: {reason.strip()}\n"
            "Whether there are vulnerabilities is not known. Try again with a network that reaches pypi.org.",
            file=sys.stderr,
        )
        return CANNOT_TELL
    vulnerable = [package for package in found if package["vulns"]]
    for package in vulnerable:
        for known in package["vulns"]:
            mended = ", ".join(known["fix_versions"]) or "none yet"
            print(f"{lock.name}: {package['name']} {package['version']}: {known['id']}, mended in: {mended}")
    print(f"{lock.name}: {len(vulnerable)} of {wanted} packages have known vulnerabilities")
    return VULNERABLE if vulnerable else 0


def looked_up(lock):
    """(packages as pip-audit tells them, None where it gave up; its words)."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        options = ["--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
        asked = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, "--output", answer, "--requirement", lock],
            capture_output=True,
            text=True,
            check=False,
        )
        if not answer.exists() or not answer.read_text().strip():
            return None, asked.stderr
        return json.loads(answer.read_text())["dependencies"], asked.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
