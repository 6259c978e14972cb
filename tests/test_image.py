"""The project's image, built by the engine that answers; BASE_IMAGE and BUILD_NETWORK are options of the build.

TESTED_IMAGE names an existing image, such as the candidate of a release.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
USER = os.getuid() or 12345  # a user that does not exist in the image, and not root

pytestmark = pytest.mark.slow


def call(*arguments, timeout=900, **options):
    # variables of `make test RUNTIME=local` are for the tests, not for the image
    environment = {
        name: value for name, value in os.environ.items() if name not in ("RUNTIME", "MAKEFLAGS", "MAKELEVEL")
    }
    return subprocess.run(
        [str(argument) for argument in arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        **options,
    )


@pytest.fixture(scope="module")
def engine():
    result = call("scripts/runtime", "engine")
    if result.returncode:
        pytest.skip("needs a container engine (docker, podman) that answers; none does")
    return result.stdout.strip()


@pytest.fixture(scope="module")
def revision():
    return call("scripts/revision").stdout.strip()


@pytest.fixture(scope="module")
def image(engine):
    if "TESTED_IMAGE" in os.environ:
        return os.environ["TESTED_IMAGE"]
    built = call("scripts/image", "build", engine)
    assert built.returncode == 0, built.stderr[-3000:]
    return call("scripts/image", "name").stdout.strip()


@pytest.fixture(scope="module")
def run(engine, image):
    """Run the image as an unknown user, with a read-only root, without network and capabilities."""

    def run(*arguments, options=()):
        strict = ["--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL"]
        return call(engine, "run", *strict, "--user", f"{USER}:{USER}", *options, image, *arguments)

    return run


@pytest.fixture(scope="module")
def python(run):
    """Run Python code in the image and return the JSON that it prints."""

    def python(code):
        result = run("-c", code, options=["--entrypoint", "python"])
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    return python


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
    """A run folder, in a folder that belongs to USER."""
    runs = tmp_path_factory.mktemp("runs")
    os.chown(runs, USER, -1)
    options = ["--mount", f"type=bind,src={runs},dst=/app/runs", "--env", "PIPELINE_IMAGE=sha256:12"]
    result = run("train", "training.epochs=1", "run.name=first", "device=cpu", options=options)
    assert result.returncode == 0, result.stderr
    return runs / "first"


def test_unknown_user_trains_on_a_read_only_root_without_network(trained):
    assert (trained / "result.json").exists()
    assert {path.stat().st_uid for path in trained.rglob("*")} == {USER}


def test_run_records_its_image(trained):
    recorded = json.loads((trained / "environment.json").read_text())
    assert recorded["image"]["id"] == "sha256:12" and recorded["lock"]["name"] == "requirements.txt"


def test_run_in_the_image_has_the_weights_of_one_outside(trained, tmp_path):
    elsewhere = ["env", "PYTHONHASHSEED=7", "TZ=Asia/Tokyo", "LC_ALL=C", sys.executable, "-m", "pipeline"]
    result = call(*elsewhere, "train", "training.epochs=1", "run.name=first", "device=cpu", f"run.root={tmp_path}")
    assert result.returncode == 0, result.stderr
    inside, outside = (json.loads((run / "result.json").read_text()) for run in (trained, tmp_path / "first"))
    assert inside["weights_digest"] == outside["weights_digest"]
    assert (trained / "metrics.jsonl").read_bytes() == (tmp_path / "first" / "metrics.jsonl").read_bytes()


def test_config_error_is_exit_status_2(run):
    result = run("train", "model=no_such_model")
    assert result.returncode == 2
    assert "no_such_model" in result.stderr and "Traceback" not in result.stderr


def test_image_without_a_command_prints_the_help(run):
    result = run()
    assert result.returncode == 0 and result.stdout.startswith("usage: python -m pipeline")


def test_image_contains_exactly_the_locked_packages(python):
    code = """
import importlib.metadata, json
from pipeline.runtime import environment
installed = {environment.normalized(item.name) for item in importlib.metadata.distributions(path=["PLACE"])}
print(json.dumps([environment.lock_differences(environment.GPU_LOCK),
                  sorted(installed ^ environment.locked(environment.GPU_LOCK).keys())]))
""".replace("PLACE", "/opt/venv/lib/python3.12/site-packages")
    assert python(code) == [[], []]


def test_image_contains_no_compiler_cache_package_list_or_checkout(python):
    code = """
import json, shutil
from pathlib import Path
leftovers = [tool for tool in ("gcc", "cc", "make", "git") if shutil.which(tool)]
for folder in ("/var/lib/apt/lists", "/var/cache/apt", "/tmp", "/build", "/app/.git", "/app/.venv", "/app/tests"):
    leftovers += [str(path) for path in Path(folder).rglob("*") if path.is_file()]
leftovers += [str(path) for path in Path("/").glob("*/.cache")]
print(json.dumps(leftovers))
"""
    assert python(code) == []


def test_compiled_modules_do_not_contain_the_build_time(python):
    code = """
import json
from pathlib import Path
compiled = [path for folder in ("/opt/venv", "/app") for path in Path(folder).rglob("*.pyc")]
unchecked_hash = (1).to_bytes(4, "little")
print(json.dumps([len(compiled) > 1000, [str(path) for path in compiled if path.read_bytes()[4:8] != unchecked_hash]]))
"""
    assert python(code) == [True, []]


def test_labels_name_commit_and_lock(engine, image, revision):
    labels = json.loads(call(engine, "image", "inspect", "--format", "{{json .Config.Labels}}", image).stdout)
    lock = call("sha256sum", "requirements.txt").stdout.split()[0]
    assert labels["pipeline.lock.sha256"] == lock
    assert labels["org.opencontainers.image.revision"] == revision


def test_image_has_the_declared_structure(engine, image):
    if engine != "docker":
        pytest.skip("container-structure-test speaks to docker only")
    tool = Path(sys.executable).parent / "container-structure-test"
    result = call(tool, "test", "--image", image, "--config", "docker/structure.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_capabilities_and_new_privileges_are_not_needed(run):
    result = run("runs", options=["--security-opt", "no-new-privileges", "--tmpfs", "/app/runs:mode=1777"])
    assert result.returncode == 0, result.stderr


def test_image_adds_only_the_environment_and_the_code_to_the_base(python):
    code = """
import json
from pathlib import Path
places = [path for path in Path("/opt").iterdir()] + [path for path in Path("/app").iterdir()]
print(json.dumps(sorted(path.name for path in places if path.name != "__pycache__")))
"""
    expected = {
        "venv",
        "benchmarks",
        "configs",
        "custom",
        "datasets",
        "golden",
        "pipeline",
        "runs",
        "scripts",
        "LICENSE",
        "pyproject.toml",
    }
    found = set(python(code))
    locks = {name for name in found if name.startswith("requirements")}
    assert found - locks == expected | {".python-version"}


def test_doctor_passes_in_the_image_and_explains_a_missing_gpu(run):
    result = run("doctor", "--json", options=["--tmpfs", "/app/runs:mode=1777"])
    assert result.returncode == 0, result.stdout + result.stderr
    checks = {check["subject"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["lock"]["detail"].startswith("requirements.txt") and checks["lock"]["state"] == "ok"
    assert "CUDA 12" in checks["cuda"]["detail"] and "not installed" not in checks["cuda"]["detail"]
    assert "none: " in checks["gpus"]["detail"] or checks["gpus"]["state"] == "ok"


def test_package_upgraded_by_hand_is_refused_unless_allowed(engine, image, tmp_path):
    (tmp_path / "jinja2-9.9.dist-info").mkdir()
    (tmp_path / "jinja2-9.9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: jinja2\nVersion: 9.9\n")
    tmp_path.chmod(0o755)
    strict = ["--rm", "--network", "none", "--tmpfs", "/app/runs:mode=1777", "--env", "PYTHONPATH=/other"]
    arguments = [engine, "run", *strict, "--mount", f"type=bind,src={tmp_path},dst=/other", image]
    refused = call(*arguments, "check")
    assert refused.returncode == 3 and "jinja2" in refused.stderr and "9.9" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert call(*arguments, "check", "environment.allow_drift=true").returncode == 0


def test_base_without_the_projects_python_is_refused(engine, image, tmp_path):
    if "TESTED_IMAGE" in os.environ:
        pytest.skip("a release is built from the right base")
    hidden = "USER 0\nENV PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"  # the base image has its Python in /usr/local/bin
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\n{hidden}")
    base = "pipeline:no-python"
    made = call(engine, "build", "--tag", base, tmp_path)
    assert made.returncode == 0, made.stderr
    try:
        result = call("env", f"BASE_IMAGE={base}", "scripts/image", "build", engine, "pipeline:never")
    finally:
        call(engine, "rmi", base)
    assert result.returncode == 1
    assert "error: expected Python 3.12; no Python was found" in result.stderr and "could not build" in result.stderr


def test_changed_code_runs_in_the_image_without_a_new_build(image, tmp_path):
    tree = tmp_path / "tree"
    for name in ("scripts", "docker", "pipeline"):
        shutil.copytree(PROJECT / name, tree / name)
    for name in (".python-version", "pyproject.toml", "requirements.txt", "requirements-install.txt"):
        shutil.copy(PROJECT / name, tree)
    (tree / "probe.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "Path('runs/written').touch()\n"
        "try:\n"
        "    Path('pipeline/written').touch()\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
        "sys.exit(75)\n"
    )
    probed = call("env", f"IMAGE={image}", tree / "scripts/run", "probe")
    assert (probed.returncode, probed.stdout) == (75, "Read-only file system\n"), probed.stderr
    assert (tree / "runs/written").stat().st_uid == os.getuid()
