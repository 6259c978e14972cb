"""`scripts/install.py`: uv installs what a lock names, with pip's settings; without uv, pip does."""

import functools
import hashlib
import http.server
import importlib.util
import os
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SCRIPT = PROJECT / "scripts/install.py"
NO_INDEX = re.compile("No matching distribution|Could not find|ConnectionError|Max retries")


def write_wheel(folder, name):
    """Write an installable wheel of one module. Returns its entry in a lock."""
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "value = 1\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Environment:
    """A virtual environment, and the variables that the script is called with."""

    def __init__(self, folder, wheels):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self.folder = folder
        self.variables = {
            "HOME": str(folder.parent),
            "PATH": os.environ["PATH"],
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(wheels),
            "PIP_NO_INDEX": "1",
        }

    def install(self, lock, **variables):
        command = [self.folder / "bin/python", SCRIPT, lock]
        return subprocess.run(
            command, env=self.variables | variables, capture_output=True, text=True, check=False, timeout=120
        )

    def site(self):
        (site,) = self.folder.glob("lib/python*/site-packages")
        return site

    def installer(self, name):
        return (self.site() / f"{name}-1.0.dist-info/INSTALLER").read_text().strip()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Return a folder with a wheel of uv from the package index that pip is configured with."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries=0", "--no-deps", f"--dest={folder}"]
    command += ["--require-hashes", "-r", PROJECT / "requirements-install.txt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if NO_INDEX.search(done.stderr):
        pytest.skip("no package index is reachable")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheels):
    return Environment(tmp_path_factory.mktemp("home") / "environment", wheels)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A package index with one package, `tiny`. Returns (URL, entry of tiny in a lock)."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "simple/tiny").mkdir(parents=True)
    entry = write_wheel(folder / "simple/tiny", "tiny")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple", entry
        server.shutdown()


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("install_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_later_pip_setting_wins_and_uv_gets_it(script, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://all.example/simple\ncert = /all.pem\n"
        "extra-index-url =\n  https://one.example/simple\n  https://two.example/simple\n"
        "[install]\nindex-url = https://install.example/simple\ntrusted-host = one.example\n"
        "[download]\ncert = /download.pem\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_CERT", "/variable.pem")
    monkeypatch.setenv("PIP_FIND_LINKS", "/one /two")
    found = script.uv_variables(script.pip_settings())
    expected = {
        "UV_DEFAULT_INDEX": "https://install.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_INSECURE_HOST": "one.example",
        "SSL_CERT_FILE": "/variable.pem",
        "UV_FIND_LINKS": "/one,/two",
    }
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.slow
def test_uv_installs_from_the_index_in_pip_conf(environment, index, tmp_path):
    url, entry = index
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {url}\n")
    (tmp_path / "lock.txt").write_text(entry)
    settings = {"PIP_NO_INDEX": "0", "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    done = environment.install(tmp_path / "lock.txt", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert environment.installer("tiny") == "uv"


@pytest.mark.slow
def test_edit_of_an_installed_file_reaches_no_other_environment(environment, wheels, tmp_path):
    (tmp_path / "lock.txt").write_text(write_wheel(wheels, "edited"))
    other = Environment(tmp_path / "other", wheels)
    other.variables["HOME"] = environment.variables["HOME"]  # which contains uv's cache
    first = environment.install(tmp_path / "lock.txt")
    (environment.site() / "edited.py").write_text("value = 2\n")
    second = other.install(tmp_path / "lock.txt")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert (other.site() / "edited.py").read_text() == "value = 1\n"
    (other.site() / "edited.py").write_text("value = 3\n")
    assert (environment.site() / "edited.py").read_text() == "value = 2\n"


@pytest.mark.slow
def test_wrong_hash_is_an_error_of_uv_that_names_package_and_lock(environment, wheels, tmp_path):
    (tmp_path / "lock.txt").write_text(re.sub(r"sha256:\w{4}", "sha256:0000", write_wheel(wheels, "wrong")))
    done = environment.install(tmp_path / "lock.txt")
    assert done.returncode == 1 and not (environment.site() / "wrong.py").exists()
    assert "Hash mismatch for `wrong==1.0`" in done.stderr and "could not install" in done.stderr


@pytest.mark.slow
def test_without_uv_or_if_asked_for_pip_installs_the_same(environment, wheels, tmp_path):
    for name, without_uv in (("asked", {"INSTALLER": "pip"}), ("missing", {"PIP_FIND_LINKS": str(tmp_path)})):
        (tmp_path / "lock.txt").write_text(write_wheel(tmp_path, name))
        links = {"PIP_FIND_LINKS": str(tmp_path)}
        done = environment.install(tmp_path / "lock.txt", **links | without_uv)
        assert done.returncode == 0, done.stderr
        assert environment.installer(name) == "pip"
        assert ("because uv is not available: " in done.stderr) is (name == "missing")
