"""Install exactly what locks name, checked by hash, into an environment: PYTHON scripts/install.py LOCK...

PYTHON is the interpreter of that environment, and its pip settings (pip.conf, PIP_*) decide which index is used.
uv installs, at the version in requirements-install.txt. If uv is not available, pip installs, and a message is printed.
  INSTALLER       pip: install with pip
  UV_LINK_MODE    how uv takes files from its cache: copy unless set
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

INSTALLER_LOCK = Path(__file__).parents[1] / "requirements-install.txt"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
EXACT = ["--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
SOURCE_ONLY = "antlr4-python3-runtime"  # has no wheel; the lock also pins its build tools
BUILD_TOOLS = re.compile(r"^(?:setuptools|wheel)==(?:.*\\\n)*.*\n", re.MULTILINE)
# pip setting -> the variable that uv reads, and what uv separates several values with
UV_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "retries": ("UV_HTTP_RETRIES", " "),
    "no-cache-dir": ("UV_NO_CACHE", " "),
}


def main(locks: list[str]) -> int:
    """Install the locks in their order. Returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        command, variables = uv(Path(folder)) or pip()
        for lock in map(Path, locks):
            # The package without a wheel is built by the lock's own tools, so these are installed before it.
            tools = "".join(BUILD_TOOLS.findall(lock.read_text(encoding="utf-8")))
            (Path(folder) / "build-tools.txt").write_text(tools, encoding="utf-8")
            steps = [Path(folder) / "build-tools.txt", lock] if tools else [lock]
            if any(subprocess.run([*command, "-r", step], env=variables, check=False).returncode for step in steps):
                print(
                    f"error: could not install {lock} into {sys.prefix}; the reason is above."
                    + ("" if command[:3] == PIP[:3] else " To use pip instead of uv: INSTALLER=pip"),
                    file=sys.stderr,
                )
                return 1
    return 0


def pip() -> tuple[list[str], dict[str, str]]:
    """Return pip's command without the lock, and its environment variables."""
    # Python compiles a module at its first import. Compiling all takes a minute or more; a third is ever imported.
    options = [*EXACT, "--no-compile", "--no-binary", SOURCE_ONLY, "--no-build-isolation"]
    return [*PIP, "install", *options], dict(os.environ)


def uv(folder: Path) -> tuple[list[str], dict[str, str]] | None:
    """Fetch uv into `folder`. Returns its command without the lock and its environment variables, None without uv."""
    if os.environ.get("INSTALLER") == "pip":
        return None
    fetch = [*PIP, "install", *EXACT, "--target", str(folder), "-r", str(INSTALLER_LOCK)]
    fetched = subprocess.run(fetch, capture_output=True, text=True, check=False)
    if fetched.returncode:
        reason = next((line for line in reversed(fetched.stderr.splitlines()) if line.strip()), "no reason given")
        print(f"Installing with pip, which takes longer, because uv is not available: {reason}", file=sys.stderr)
        return None
    settings = pip_settings()
    options = [*EXACT, "--python", sys.executable, "--no-config", "--no-binary", SOURCE_ONLY]
    options += ["--no-build-isolation-package", SOURCE_ONLY]
    # As pip does, take a file from any index that has it. The hashes make that safe.
    options += ["--index-strategy", "unsafe-best-match"]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        options.append("--no-index")
    # uv's default, hard links into its cache, takes 1.5 s instead of 10 s. But an edit of an installed file would then
    # change the cache, and with it every other environment. "clone" does the same on a disk that cannot clone.
    variables = {"UV_LINK_MODE": "copy", "UV_SYSTEM_CERTS": "true", **os.environ, **uv_variables(settings)}
    variables["TMPDIR"] = str(folder)  # uv leaves lock files in it
    return [str(folder / "bin/uv"), "pip", "install", *options], variables


def pip_settings() -> dict[str, str]:
    """Return pip's settings for `pip install`, from its files and from PIP_* variables."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
    settings = {}
    for section in ("global.", "install.", ":env:."):  # the last one wins
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                settings[name.removeprefix(section)] = ast.literal_eval(value)
    return settings


def uv_variables(settings: dict[str, str]) -> dict[str, str]:
    """Return the environment variables that give uv the settings of pip."""
    return {
        variable: separator.join(settings[name].split())
        for name, (variable, separator) in UV_VARIABLES.items()
        if settings.get(name)
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
