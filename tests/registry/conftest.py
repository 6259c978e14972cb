"""Registries for the tests: a SQLite file, and a PostgreSQL server if the package of Debian is installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from pipeline.registry import store
from pipeline.registry.options import Registry

PASSWORD = "a passw0rd: ü'\\ %s"


class Server:
    """A PostgreSQL server on the loopback interface, run by a user without privileges."""

    def __init__(self, programs, folder, user):
        self.programs, self.folder, self.user, self.password = programs, folder, user, PASSWORD
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.databases = 0
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if user:
            for path in (folder, secret):
                shutil.chown(path, user)
        initial = ("-U", "pipeline", "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C")
        self.call("initdb", "-D", folder / "data", *initial, "--no-sync")

    def call(self, program, *arguments):
        prefix = ["runuser", "-u", self.user, "--"] if self.user else []
        command = [*prefix, self.programs / program, *map(str, arguments)]
        # into a file: the server would keep a pipe open
        with (self.folder.parent / f"{self.folder.name}.log").open("w+") as log:
            completed = subprocess.run(command, stdout=log, stderr=log, cwd="/", timeout=120)
            log.seek(0)
            assert completed.returncode == 0, log.read()

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        options += " -c max_connections=200 -c fsync=off"
        self.call("pg_ctl", "-D", self.folder / "data", "-w", "-o", options, "start")

    def stop(self):
        self.call("pg_ctl", "-D", self.folder / "data", "-w", "-m", "immediate", "stop")

    def url(self, database):
        return f"postgresql://pipeline@127.0.0.1:{self.port}/{database}"

    def new_database(self):
        """Create an empty database and return its URL."""
        self.databases += 1
        name = f"registry_{self.databases}"
        engine = store.create_engine(Registry(url=self.url("postgres")), "")
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.url(name)


@pytest.fixture(scope="session")
def server():
    """A running Server. Its password is in the environment."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("the PostgreSQL server is not installed (Debian: postgresql)")
    user = None
    if os.geteuid() == 0:
        user = "postgres"
        if shutil.which("runuser") is None or user not in {entry.pw_name for entry in pwd.getpwall()}:
            pytest.skip("the PostgreSQL server refuses to run as root, and there is no user postgres")
    before = os.environ.get("PGPASSWORD")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a database is about 7 MB in 300 files
    with tempfile.TemporaryDirectory(dir=memory) as outside:  # other users cannot read the folders of pytest
        Path(outside).chmod(0o755)
        folder = Path(outside) / "postgresql"
        folder.mkdir()
        server = Server(programs[-1].parent, folder, user)
        os.environ["PGPASSWORD"] = PASSWORD
        server.start()
        yield server
        server.stop()
        if before is None:
            del os.environ["PGPASSWORD"]
        else:
            os.environ["PGPASSWORD"] = before


@pytest.fixture(params=["sqlite", "postgresql"])
def registry(request, tmp_path):
    """The options of an empty registry, of each kind in turn."""
    if request.param == "sqlite":
        return Registry(url=f"sqlite:///{tmp_path}/registry.db")
    return Registry(url=request.getfixturevalue("server").new_database())


@pytest.fixture
def engine(registry, tmp_path):
    """The engine of a registry with empty tables."""
    engine = store.create_engine(registry, tmp_path)
    store.upgrade_schema(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite(tmp_path):
    """The engine of a SQLite registry under tmp_path/runs, the default path for runs in that folder."""
    engine = store.create_engine(Registry(), tmp_path / "runs")
    store.upgrade_schema(engine)
    yield engine
    engine.dispose()
