"""The fields of docker/compose.yaml, checked without an engine: not every engine has compose."""

import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((PROJECT / "docker/compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_compose_defines_a_trainer_a_database_and_tensorboard():
    assert set(SERVICES) == {"trainer", "trainer-gpu", "tensorboard", "postgres"}


@pytest.mark.parametrize("name", ["trainer", "trainer-gpu", "tensorboard"])
def test_services_of_the_image_have_no_privileges_and_the_callers_id(name):
    service = SERVICES[name]
    assert service["read_only"] is True and service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "${UID:-1000}:${GID:-1000}"
    assert "privileged" not in service and "cap_add" not in service


def test_the_database_is_pinned_by_its_digest():
    assert re.fullmatch(r"postgres:[\w.-]+@sha256:[0-9a-f]{64}", SERVICES["postgres"]["image"])


@pytest.mark.parametrize("name", ["trainer", "tensorboard"])
def test_services_are_built_from_the_projects_dockerfile(name):
    build = SERVICES[name]["build"]
    folder = PROJECT / "docker" / build["context"]
    assert (folder / build["dockerfile"]).samefile(PROJECT / "docker/Dockerfile")
    assert build["args"] == ["BASE_IMAGE"]


def test_gpu_trainer_is_the_trainer_with_all_gpus():
    gpu = dict(SERVICES["trainer-gpu"])
    (device,) = gpu.pop("deploy")["resources"]["reservations"]["devices"]
    assert gpu == SERVICES["trainer"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_tensorboard_mounts_runs_read_only():
    (read,), (written,) = (SERVICES[name]["volumes"] for name in ("tensorboard", "trainer"))
    assert read == written | {"read_only": True}
    assert (written["source"], written["target"]) == ("../runs", "/app/runs")


def test_engines_do_not_create_the_folder_of_runs_as_root():
    volumes = [volume for name in ("tensorboard", "trainer") for volume in SERVICES[name]["volumes"]]
    assert all(volume["type"] == "bind" and volume["bind"] == {"create_host_path": False} for volume in volumes)


def test_ports_listen_on_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2 and all(port.startswith("127.0.0.1:") for port in ports)


def test_password_comes_from_the_environment():
    passwords = [
        SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"],
        SERVICES["trainer"]["environment"]["PGPASSWORD"],
    ]
    assert all(value.startswith("${POSTGRES_PASSWORD:?") for value in passwords)


def test_database_has_a_volume_and_a_health_check():
    (volume,) = SERVICES["postgres"]["volumes"]
    assert volume.split(":")[0] in COMPOSE["volumes"]
    assert "pg_isready" in " ".join(SERVICES["postgres"]["healthcheck"]["test"])
    assert SERVICES["trainer"]["depends_on"]["postgres"]["condition"] == "service_healthy"
