"""The targets of the Makefile and the scripts behind them, in a copy of the tree with locks of one small package."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PYTHON = Path(sys.base_prefix) / "bin" / "python3.12"
PIPELINE = """
import json, os, sys
print(json.dumps(sys.argv[1:]))
sys.exit(int(os.environ.get("EXIT", 0)))
"""
# A container engine that records its arguments in a file.
ENGINE = """#!/bin/sh
printf '%s\\n' "$@" >"$ENGINE_LOG.$1"
case $1 in
info) echo "$ENGINE_INFO" ;;
image) [ -z "${ENGINE_EMPTY-}" ] && echo sha256:123 ;;
build) exit "${ENGINE_BUILD:-0}" ;;
run) exit "${EXIT:-0}" ;;
esac
"""


def wheel(folder, name, version):
    """Write an installable wheel of one module. Returns its entry in a lock."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"__version__ = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """Return a folder of links to the tools on the PATH, without engines and Pythons.

    Tests add the engines and Pythons that they need.
    """
    folder = tmp_path_factory.mktemp("tools")
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for tool in Path(place).iterdir() if Path(place).is_dir() else []:
            if not re.match(r"(docker|podman|nvidia|python|pyenv|uv$)", tool.name):
                (folder / tool.name).unlink(missing_ok=True)
                (folder / tool.name).symlink_to(tool)
    return folder


class Tree:
    """A copy of the files that `make` needs, and the environment variables to run it with."""

    def __init__(self, folder, tools):
        self.root = folder / "a tree"
        self.bin = folder / "bin"
        self.wheels = folder / "wheels"
        self.log = folder / "engine.log"
        shutil.copytree(PROJECT / "pipeline", self.root / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
        for place in (self.root / "docker", self.bin, self.wheels, folder / "home"):
            place.mkdir(parents=True)
        for name in ("Makefile", ".python-version", "pyproject.toml", "requirements-install.txt", "docker/Dockerfile"):
            shutil.copy(PROJECT / name, self.root / name)
        shutil.copytree(PROJECT / "scripts", self.root / "scripts")
        (self.root / "pipeline/__main__.py").write_text(PIPELINE)
        self.lock("requirements-cpu.txt", wheel(self.wheels, "tiny", "1.0"))
        self.lock("requirements-dev.txt", wheel(self.wheels, "tool", "1.0"))
        self.lock("requirements.txt", "tiny==1.0\n")
        self.environment = {
            "PATH": f"{self.bin}{os.pathsep}{tools}",
            "HOME": str(folder / "home"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": os.devnull,
            "ENGINE_LOG": str(self.log),
        }

    def lock(self, name, text):
        (self.root / name).write_text(text)

    def make(self, *arguments, **variables):
        return self.call("make", *arguments, **variables)

    def call(self, *arguments, **variables):
        return subprocess.run(
            arguments,
            cwd=self.root,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def arguments(self, *arguments, **variables):
        """Return the arguments of the pipeline that `make` starts in .venv."""
        result = self.make(*arguments, RUNTIME="local", **variables)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def engine(self, name="docker"):
        script(self.bin / name, ENGINE)

    def arguments_of(self, command):
        """Return the arguments of the last call of an engine command, None if it was not called."""
        log = Path(f"{self.log}.{command}")
        return log.read_text().splitlines() if log.exists() else None

    def installed(self):
        """Return the version of `tiny` in .venv."""
        code = "import tiny; print(tiny.__version__)"
        return self.call(".venv/bin/python", "-c", code).stdout.strip()


@pytest.fixture
def fresh(tmp_path, tools):
    """A tree as cloned, with a Python on the PATH and without an engine."""
    tree = Tree(tmp_path, tools)
    # not a link, because an interpreter finds its library relative to its own path
    script(tree.bin / "python3.12", f'#!/bin/sh\nexec "{PYTHON}" "$@"\n')
    return tree


@pytest.fixture
def tree(fresh):
    """A tree whose .venv is up to date."""
    bin = fresh.root / ".venv/bin"
    bin.mkdir(parents=True)
    (bin / "python").symlink_to(PYTHON)
    (fresh.root / ".venv/locks").mkdir()
    for name in ("requirements-cpu.txt", "requirements-dev.txt"):
        shutil.copy(fresh.root / name, fresh.root / ".venv/locks")
    return fresh


# ---- help -----------------------------------------------------------------------------------------------------------


def test_help_lists_every_target(tree):
    targets = re.search(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)[1].split()
    listed = re.findall(r"^ +make ([\w-]+) +\w", tree.make("help").stdout, re.MULTILINE)
    assert listed == targets


def test_every_target_of_the_makefile_is_phony(tree):
    text = (PROJECT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][\w-]*):(?!=)", text, re.MULTILINE)
    assert set(targets) == set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())


def test_make_without_a_target_prints_the_help(tree):
    assert tree.make().stdout == tree.make("help").stdout != ""


# ---- arguments of the pipeline --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        "model=cnn",
        "model.hidden=[64,32]",
        "model.layers=[{class_name: Dense, config: {units: 10}}]",
        "data.path=a folder/with  two blanks ",
        'run.name=it\'s "quoted"',
        "data.path=$HOME/$(shell echo no)/`date`",
        "data.path=back\\slash\\ and # hash; | & < > ? * !",
        "+new=1",
        "++deep.new=1",
        "data.path=",
        "data.split={validation: 0.1, test: 0.2}",
        "hidden=a=b",
    ],
)
def test_argument_arrives_as_it_was_typed(tree, word):
    assert tree.arguments("train", word) == ["train", word]


def test_options_come_before_args(tree):
    arguments = tree.arguments("train", "seed=1", "model=cnn", "ARGS=--help 'run.name=two words'")
    assert arguments == ["train", "model=cnn", "seed=1", "--help", "run.name=two words"]


def test_brackets_in_args_are_no_wildcards(tree):
    (tree.root / "model.hidden=6").touch()
    assert tree.arguments("train", "ARGS=model.hidden=[64,32]") == ["train", "model.hidden=[64,32]"]


def test_variables_of_the_makefile_do_not_reach_the_pipeline(tree):
    own = ["PYTHON=x", "BASE_IMAGE=x", "BUILD_NETWORK=x", "RUN_NETWORK=x", "PIP_CONF=x", "CA_BUNDLE=x", "PORT=1"]
    own += ["IMAGE=x", "VERSION=x", "TESTS=x", "BUILDER=x", "INSTALLER=x"]
    assert tree.arguments("train", "RUNTIME=local", *own, "seed=3") == ["train", "seed=3"]


def test_environment_variable_does_not_reach_the_pipeline(tree):
    assert tree.arguments("train", seed="3") == ["train"]


@pytest.mark.parametrize("command", ["train", "check", "evaluate", "predict", "runs", "shards", "doctor"])
def test_each_command_of_the_pipeline_gets_its_options(tree, command):
    assert tree.arguments(command, "run.name=x") == [command, "run.name=x"]


def test_compare_passes_the_names_of_the_runs(tree):
    assert tree.arguments("compare", "ARGS=a b") == ["runs", "compare", "a", "b"]


def test_failing_pipeline_fails_make(tree):
    assert tree.make("train", RUNTIME="local", EXIT="3").returncode == 2


@pytest.mark.parametrize("runtime", ["local", "docker"])
def test_run_script_returns_the_exit_status_of_the_pipeline(tree, runtime):
    tree.engine()
    assert tree.call("scripts/run", "pipeline", "train", RUNTIME=runtime, EXIT="75").returncode == 75


# ---- engine or .venv ------------------------------------------------------------------------------------------------


def test_without_an_engine_the_pipeline_runs_in_venv(tree):
    result = tree.make("train")
    assert (json.loads(result.stdout), result.stderr) == (["train"], "")


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_engine_that_answers_is_used(tree, engine):
    tree.engine(engine)
    assert tree.make("train", "model=cnn").returncode == 0
    assert tree.arguments_of("run")[-4:] == ["-m", "pipeline", "train", "model=cnn"]


def test_engine_that_does_not_answer_is_skipped(tree):
    script(tree.bin / "docker", "#!/bin/sh\nexit 1\n")
    tree.engine("podman")
    assert tree.make("train").returncode == 0
    assert tree.arguments_of("run")


@pytest.mark.slow
def test_engine_that_hangs_is_skipped_after_a_timeout(tree):
    script(tree.bin / "docker", "#!/bin/sh\nexec sleep 600\n")
    assert json.loads(tree.make("train").stdout) == ["train"]


def test_runtime_local_ignores_an_engine_that_answers(tree):
    tree.engine()
    assert tree.arguments("train", "RUNTIME=local") == ["train"]
    assert tree.arguments_of("info") is None


def test_requested_engine_that_does_not_answer_is_an_error_with_the_alternative(tree):
    result = tree.make("train", "RUNTIME=podman")
    assert result.returncode != 0 and result.stdout == ""
    assert "podman does not answer" in result.stderr and "RUNTIME=local" in result.stderr


def test_unknown_runtime_is_an_error_that_names_the_known_ones(tree):
    result = tree.make("train", "RUNTIME=dokcer")
    assert result.returncode != 0
    assert "expected local, docker or podman; found dokcer" in result.stderr


def test_only_a_missing_image_is_built(tree):
    tree.engine()
    tree.make("train")
    assert tree.arguments_of("build") is None
    tree.make("train", ENGINE_EMPTY="1", BASE_IMAGE="base:1", BUILD_NETWORK="host")
    arguments = tree.arguments_of("build")
    assert arguments[-1] == "." and "BASE_IMAGE=base:1" in arguments
    assert arguments[arguments.index("--network") + 1] == "host"


def test_named_image_is_run_and_never_built(tree):
    tree.engine()
    assert tree.make("train", "IMAGE=pipeline:1.2.0").returncode == 0
    assert "pipeline:1.2.0" in tree.arguments_of("run")
    result = tree.make("train", "IMAGE=pipeline:1.2.0", ENGINE_EMPTY="1")
    assert result.returncode != 0 and "it has no pipeline:1.2.0" in result.stderr
    assert tree.arguments_of("build") is None


def test_image_that_cannot_be_built_is_an_error_with_the_alternative(tree):
    tree.engine()
    result = tree.make("train", ENGINE_EMPTY="1", ENGINE_BUILD="1")
    assert result.returncode != 0
    assert "could not build" in result.stderr and "RUNTIME=local" in result.stderr
    assert tree.arguments_of("run") is None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *(("requirements.txt", True), ("docker/Dockerfile", True), ("scripts/install.py", True)),
        *(("scripts/compile", True), ("Makefile", False)),
    ],
)
def test_image_name_depends_on_what_is_installed(tree, name, changes):
    before = tree.call("scripts/image", "name").stdout
    with (tree.root / name).open("a") as file:
        file.write("\n")
    assert re.fullmatch(r"pipeline:[0-9a-f]{12}\n", before)
    assert (tree.call("scripts/image", "name").stdout != before) is changes


def test_image_name_starts_with_the_name_of_the_project(tree):
    settings = tree.root / "pyproject.toml"
    settings.write_text(settings.read_text().replace('name = "pipeline"', 'name = "Forecasts"', 1))
    assert tree.call("scripts/image", "name").stdout.startswith("forecasts:")


def test_two_clones_have_different_image_names(tree, tmp_path):
    shutil.copytree(tree.root, tmp_path / "other", symlinks=True)
    first, second = (tree.call(root / "scripts/image", "name").stdout for root in (tree.root, tmp_path / "other"))
    assert first != second
    assert tree.call("scripts/image", "name").stdout == first


def test_compose_gets_the_name_the_image_and_the_owner_of_the_project(tree):
    variables = "COMPOSE_PROJECT_NAME IMAGE UID GID"
    script(tree.bin / "docker", f'#!/bin/sh\nfor name in {variables}; do printenv "$name"; done\necho "$@"\n')
    image = tree.call("scripts/image", "name").stdout.strip()
    expected = ["pipeline", image, str(os.getuid()), str(os.getgid()), "compose --file docker/compose.yaml up --detach"]
    assert tree.call("scripts/compose", "up", "--detach").stdout.splitlines() == expected


def test_slurm_job_has_the_name_of_the_project(tree):
    script(tree.bin / "sbatch", '#!/bin/sh\necho "$@" >"$ENGINE_LOG"\n')
    tree.call("scripts/submit", "model=cnn")
    assert tree.log.read_text() == "--parsable --job-name pipeline cluster/slurm/train.sbatch model=cnn\n"


def test_make_image_without_an_engine_is_an_error(tree):
    result = tree.make("image")
    assert result.returncode != 0 and "found none" in result.stderr


# ---- options of the container ---------------------------------------------------------------------------------------


def mounts(arguments):
    """Return whether each mounted path is read-only, from the arguments of `docker run`."""
    found = (re.fullmatch(r'type=bind,"src=(.*)","dst=(.*)"(,readonly)?', word) for word in arguments)
    return {mount[2]: bool(mount[3]) for mount in found if mount}


def test_container_has_no_privileges_no_network_and_the_callers_id(tree):
    tree.engine()
    tree.make("train")
    arguments = " ".join(tree.arguments_of("run"))
    user = f"--user {os.getuid()}:{os.getgid()}"
    for option in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--network none", user):
        assert option in arguments


def test_tree_is_read_only_in_the_container_and_runs_is_not(tree):
    tree.engine()
    tree.make("train")
    assert mounts(tree.arguments_of("run")) == {str(tree.root): True, str(tree.root / "runs"): False}
    assert (tree.root / "runs").is_dir()


def test_another_folder_of_runs_is_created_and_writable(tree, tmp_path):
    tree.engine()
    tree.make("train", f"run.root={tmp_path}/else where/runs")
    assert mounts(tree.arguments_of("run"))[f"{tmp_path}/else where/runs"] is False
    assert (tmp_path / "else where/runs").is_dir()


@pytest.mark.parametrize("form", ["{}", "'{}'", '"{}"'])
def test_data_outside_the_tree_is_mounted_read_only_at_its_own_path(tree, tmp_path, form):
    tree.engine()
    (tmp_path / "the, data").mkdir()
    tree.make("train", "data=idx", "data.path=" + form.format(tmp_path / "the, data"))
    assert mounts(tree.arguments_of("run"))[str(tmp_path / "the, data")] is True


def test_data_at_a_relative_path_is_mounted(tree, tmp_path):
    tree.engine()
    (tmp_path / "test.csv").touch()
    tree.make("train", "data.test_path=../test.csv")
    assert mounts(tree.arguments_of("run"))[str(tmp_path / "test.csv")] is True


def test_data_behind_a_link_in_the_tree_is_mounted_at_its_real_path(tree, tmp_path):
    tree.engine()
    (tmp_path / "real").mkdir()
    (tree.root / "link").symlink_to(tmp_path / "real")
    tree.make("train", "data.path=link")
    assert mounts(tree.arguments_of("run")).keys() == {str(tree.root), str(tree.root / "runs"), str(tmp_path / "real")}


def test_data_inside_the_tree_or_missing_needs_no_mount(tree):
    tree.engine()
    (tree.root / "inside").mkdir()
    tree.make("train", "data.path=inside", "data.test_path=/nowhere/to/be/found")
    assert mounts(tree.arguments_of("run")).keys() == {str(tree.root), str(tree.root / "runs")}


def test_paths_and_registry_of_a_stored_run_are_available_only_if_the_caller_names_them(tree, tmp_path):
    tree.engine()
    (tmp_path / "rows.csv").touch()
    (tree.root / "runs/first").mkdir(parents=True)
    (tree.root / "runs/first/config.yaml").write_text(
        f"data:\n  path: {tmp_path}/rows.csv\n  test_path: ''\nregistry:\n  url: postgresql://me@db/runs\n"
    )
    tree.make("evaluate", "run.name=first")
    arguments = tree.arguments_of("run")
    assert f"{tmp_path}/rows.csv" not in mounts(arguments)
    assert arguments[arguments.index("--network") + 1] == "none"
    tree.make("evaluate", "run.name=first", f"data.path={tmp_path}/rows.csv", "registry.url=postgresql://me@db/runs")
    arguments = tree.arguments_of("run")
    assert mounts(arguments)[f"{tmp_path}/rows.csv"] is True
    assert arguments[arguments.index("--network") + 1] == "host"


def test_cache_of_keras_is_mounted_for_a_stored_run_on_its_data(tree):
    tree.engine()
    (tree.root / "runs/first").mkdir(parents=True)
    (tree.root / "runs/first/config.yaml").write_text("choices:\n  data: keras\n  model: cnn\n")
    tree.make("evaluate", "run.name=first")
    assert mounts(tree.arguments_of("run"))[tree.environment["HOME"] + "/.keras"] is False


def test_named_container_replaces_one_that_is_still_running(tree):
    tree.engine()
    tree.call("scripts/run", "pipeline", "train", CONTAINER="job-7")
    assert tree.arguments_of("rm") == ["rm", "--force", "job-7"]
    arguments = tree.arguments_of("run")
    assert arguments[arguments.index("--name") + 1] == "job-7"


def test_folder_around_new_shards_is_writable(tree, tmp_path):
    tree.engine()
    tree.make("shards", f"shards.path={tmp_path}/out/shards")
    assert mounts(tree.arguments_of("run"))[f"{tmp_path}/out"] is False


def test_data_that_keras_downloads_gets_the_network_and_the_cache_of_keras(tree):
    tree.engine()
    tree.make("train", "data=keras")
    assert "--network" not in tree.arguments_of("run")
    assert mounts(tree.arguments_of("run"))[tree.environment["HOME"] + "/.keras"] is False


@pytest.mark.parametrize("word", ["registry=postgresql", "registry.url=postgresql://me@db/runs"])
def test_registry_on_a_server_gets_the_network_and_the_callers_password(tree, word):
    tree.engine()
    passwords = Path(tree.environment["HOME"], ".pgpass")
    passwords.touch()
    tree.make("train", word)
    arguments = tree.arguments_of("run")
    assert arguments[arguments.index("--network") + 1] == "host"
    assert "PGPASSWORD" in arguments and f"PGPASSFILE={passwords}" in arguments
    assert mounts(arguments)[str(passwords)] is True


def test_folder_of_a_registry_elsewhere_is_writable(tree, tmp_path):
    tree.engine()
    tree.make("train", f"registry.url=sqlite:///{tmp_path}/home/runs.db")
    assert mounts(tree.arguments_of("run"))[f"{tmp_path}/home"] is False


def test_containers_network_can_be_chosen(tree):
    tree.engine()
    tree.make("train", "RUN_NETWORK=host")
    arguments = tree.arguments_of("run")
    assert arguments[arguments.index("--network") + 1] == "host"


def test_gpus_are_passed_on_if_the_engine_can(tree):
    tree.engine()
    script(tree.bin / "nvidia-smi", "#!/bin/sh\n")
    tree.make("train", ENGINE_INFO=" Runtimes: nvidia runc")
    arguments = tree.arguments_of("run")
    assert arguments[arguments.index("--gpus") + 1] == "all"


def test_gpu_that_the_engine_cannot_pass_on_is_reported(tree):
    tree.engine()
    script(tree.bin / "nvidia-smi", "#!/bin/sh\n")
    result = tree.make("train", ENGINE_INFO=" Runtimes: runc")
    assert "--gpus" not in tree.arguments_of("run") and "NVIDIA's container toolkit" in result.stderr


@pytest.mark.parametrize(
    ("engine", "info", "user"),
    [("docker", "  rootless", "0:0"), ("podman", "    rootless: true", f"{os.getuid()}:{os.getgid()}")],
)
def test_in_a_rootless_engine_written_files_belong_to_the_caller(tree, engine, info, user):
    tree.engine(engine)
    tree.make("train", ENGINE_INFO=info)
    arguments = tree.arguments_of("run")
    assert arguments[arguments.index("--user") + 1] == user
    assert ("keep-id" in arguments) is (engine == "podman")


# ---- .venv ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_first_call_creates_venv_from_the_lock_and_the_second_installs_nothing(fresh):
    first = fresh.make("train")
    assert json.loads(first.stdout) == ["train"], first.stderr
    engine, created, installer = first.stderr.splitlines()
    assert engine.startswith("No container engine answers") and created.startswith("Creating .venv from")
    assert "because uv is not available" in installer
    assert fresh.installed() == "1.0"
    shutil.rmtree(fresh.wheels)  # a call that installs something then fails
    second = fresh.make("train")
    assert (json.loads(second.stdout), second.stderr) == (["train"], "")


@pytest.mark.slow
def test_venv_may_be_a_link_to_another_disk(fresh, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("disk") / "venv"
    (fresh.root / ".venv").symlink_to(elsewhere)
    assert json.loads(fresh.make("train", "RUNTIME=local").stdout) == ["train"]
    assert fresh.installed() == "1.0" and (elsewhere / "pyvenv.cfg").exists()


@pytest.mark.slow
def test_changed_lock_replaces_all_packages(fresh):
    fresh.make("train", "RUNTIME=local")
    fresh.lock("requirements-cpu.txt", wheel(fresh.wheels, "other", "1.0"))
    fresh.make("train", "RUNTIME=local")
    assert fresh.call(".venv/bin/python", "-c", "import other").returncode == 0
    assert fresh.installed() == ""


@pytest.mark.slow
def test_development_tools_are_installed_when_a_target_needs_them(fresh):
    fresh.call("scripts/setup")
    assert fresh.call(".venv/bin/python", "-c", "import tool").returncode != 0
    added = fresh.call("scripts/setup", "dev")
    assert added.stderr.splitlines()[0] == "Installing requirements-dev.txt into .venv ..."
    assert fresh.call(".venv/bin/python", "-c", "import tool").returncode == 0
    assert fresh.call("scripts/setup").stderr == fresh.call("scripts/setup", "dev").stderr == ""


@pytest.mark.slow
def test_package_with_another_hash_is_an_error_and_not_installed(fresh):
    right = (fresh.root / "requirements-cpu.txt").read_text()
    fresh.lock("requirements-cpu.txt", re.sub(r"sha256:\w{4}", "sha256:0000", right))
    result = fresh.make("train", "RUNTIME=local")
    assert result.returncode != 0 and result.stdout == ""
    assert "DO NOT MATCH THE HASHES" in result.stderr and "could not install requirements-cpu.txt" in result.stderr
    assert not (fresh.root / ".venv/locks").exists()


@pytest.mark.slow
def test_killed_installation_is_started_again(fresh):
    with socket.create_server(("127.0.0.1", 0)) as index:
        # pip is killed while it waits for an index that accepts the connection and never answers
        endless = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": f"http://127.0.0.1:{index.getsockname()[1]}/"}
        process = subprocess.Popen(
            ["make", "train", "RUNTIME=local"],
            cwd=fresh.root,
            env=fresh.environment | endless,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        index.settimeout(60)
        connection, _ = index.accept()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        connection.close()
    (fresh.root / ".venv/half-installed").touch()
    assert (fresh.root / ".venv/bin/python").exists()
    result = fresh.make("train", "RUNTIME=local")
    assert json.loads(result.stdout) == ["train"], result.stderr
    assert fresh.installed() == "1.0"
    assert not (fresh.root / ".venv/half-installed").exists()


# ---- Python ---------------------------------------------------------------------------------------------------------


def complaint(result):
    """Return the only line of an error, without the line that make adds."""
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_no_python_at_all_is_one_line(fresh):
    (fresh.bin / "python3.12").unlink()
    assert "no Python was found" in complaint(fresh.make("train", "RUNTIME=local"))
    assert not (fresh.root / ".venv").exists()


def test_empty_shim_and_an_older_python_are_one_line(fresh):
    script(fresh.bin / "python3", "#!/bin/sh\necho 3.11.2\n")
    (fresh.bin / "python3.12").unlink()
    script(fresh.bin / "python3.12", "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    line = complaint(fresh.make("train", "RUNTIME=local"))
    assert f"expected Python 3.12; {fresh.bin}/python3 is 3.11.2" in line and "PYTHON=" in line


def test_named_python_of_another_version_is_refused(fresh):
    script(fresh.bin / "old", "#!/bin/sh\necho 3.11.2\n")
    line = complaint(fresh.make("train", "RUNTIME=local", f"PYTHON={fresh.bin}/old"))
    assert f"{fresh.bin}/old is 3.11.2" in line


def test_named_python_that_is_missing_is_refused(fresh):
    assert "/no/such/python does not run" in complaint(fresh.make("train", "RUNTIME=local", "PYTHON=/no/such/python"))


def test_without_the_venv_module_the_error_names_the_package_to_install(fresh):
    (fresh.bin / "python3.12").unlink()
    script(fresh.bin / "python3.12", f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\nexec "{PYTHON}" "$@"\n')
    line = complaint(fresh.make("train", "RUNTIME=local"))
    assert "apt install python3.12-venv" in line


def test_python_named_by_path_is_found(fresh, tmp_path):
    (fresh.bin / "python3.12").unlink()
    assert fresh.call("scripts/python", PYTHON=str(PYTHON)).stdout == f"{PYTHON}\n"


def test_python_of_pyenv_is_found_without_the_path(fresh):
    kept = Path(fresh.environment["HOME"], ".pyenv/versions/3.12.4/bin/python3.12")
    kept.parent.mkdir(parents=True)
    (fresh.bin / "python3.12").rename(kept)
    assert fresh.call("scripts/python").stdout == f"{kept}\n"


def test_python_of_uv_is_found_without_the_path(fresh, tmp_path):
    (fresh.bin / "python3.12").rename(tmp_path / "uvs-python")
    script(fresh.bin / "uv", f'#!/bin/sh\n[ "$1 $2" = "python find" ] && echo "{tmp_path}/uvs-python"\n')
    assert fresh.call("scripts/python").stdout == f"{tmp_path}/uvs-python\n"


# ---- make tensorboard -----------------------------------------------------------------------------------------------

SERVER = """
import os, signal, time
from pathlib import Path
Path("server.pid.new").write_text(str(os.getpid()))
Path("server.pid.new").rename("server.pid")
time.sleep(600)
"""


def wait_until(happened):
    limit = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.parametrize("ended", ["Ctrl-C", "closed terminal", "killed shell", "killed make"])
def test_tensorboard_ends_with_its_shell(tree, ended):
    (tree.root / "tensorboard").mkdir()
    (tree.root / "tensorboard/main.py").write_text(SERVER)
    tree.environment["RUNTIME"] = "local"
    command = ["sh", "-c", "sh -c 'echo $$ >make.pid; exec make tensorboard'; true"]
    shell = subprocess.Popen(
        command, cwd=tree.root, env=tree.environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_until((tree.root / "server.pid").exists)
    server = Path("/proc") / (tree.root / "server.pid").read_text()
    match ended:
        case "Ctrl-C":
            os.killpg(shell.pid, signal.SIGINT)
        case "closed terminal":
            os.killpg(shell.pid, signal.SIGHUP)
        case "killed shell":
            shell.kill()
        case "killed make":
            os.kill(int((tree.root / "make.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not server.exists())
    shell.wait(60)


# ---- make lock ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_locks_solved_twice_are_equal_and_contain_no_path_of_the_machine(tree):
    tree.environment["PYTHONPATH"] = str(Path(importlib.util.find_spec("piptools").origin).parents[1])
    names = ["requirements-cpu", "requirements", "requirements-dev", "requirements-install", "requirements-parquet"]
    for name in names:
        (tree.root / f"{name}.in").write_text("tiny\n")
        (tree.root / f"{name}.txt").unlink(missing_ok=True)
        (tree.root / ".venv/locks" / f"{name}.txt").unlink(missing_ok=True)
    wheel(tree.wheels, "tiny", "2.0")

    def lock(**variables):
        result = tree.call("scripts/lock", **variables)
        assert result.returncode == 0, result.stderr
        return [(tree.root / f"{name}.txt").read_text() for name in names]

    first = lock()
    assert all("\ntiny==2.0 \\\n    --hash=sha256:" in text and "make lock" in text for text in first)
    assert not any(str(tree.wheels) in text for text in first)
    wheel(tree.wheels, "tiny", "3.0")
    assert lock() == first
    assert all("\ntiny==3.0 \\\n" in text for text in lock(PACKAGE="tiny"))
