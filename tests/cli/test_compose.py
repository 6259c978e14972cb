"""docker/compose.yaml by its fields, since not every engine here has compose."""

from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((PROJECT / "docker/compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_a_trainer_a_database_and_tensorboard_are_there():
    assert set(SERVICES) == {"trainer", "trainer-gpu", "tensorboard", "postgres"}


@pytest.mark.parametrize("name", ["trainer", "trainer-gpu", "tensorboard"])
def test_what_runs_the_projects_image_has_no_privileges_and_the_callers_id(name):
    service = SERVICES[name]
    assert service["read_only"] is True and service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "${UID:-1000}:${GID:-1000}"
    assert "privileged" not in service and "cap_add" not in service


@pytest.mark.parametrize("name", ["trainer", "tensorboard"])
def test_both_are_built_from_the_projects_dockerfile_which_is_there(name):
    build = SERVICES[name]["build"]
    folder = PROJECT / "docker" / build["context"]
    assert (folder / build["dockerfile"]).samefile(PROJECT / "docker/Dockerfile")
    assert build["args"] == ["BASE_IMAGE"]


def test_the_trainer_with_gpus_is_the_trainer_and_all_gpus():
    gpu = dict(SERVICES["trainer-gpu"])
    (device,) = gpu.pop("deploy")["resources"]["reservations"]["devices"]
    assert gpu == SERVICES["trainer"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_tensorboard_reads_runs_and_writes_none():
    (read,), (written,) = (SERVICES[name]["volumes"] for name in ("tensorboard", "trainer"))
    assert read == written | {"read_only": True}
    assert (written["source"], written["target"]) == ("../runs", "/app/runs")


def test_no_engine_makes_a_folder_of_runs_that_only_root_can_write_to():
    volumes = [volume for name in ("tensorboard", "trainer") for volume in SERVICES[name]["volumes"]]
    assert all(volume["type"] == "bind" and volume["bind"] == {"create_host_path": False} for volume in volumes)


def test_nothing_listens_beyond_this_machine():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2 and all(port.startswith("127.0.0.1:") for port in ports)


def test_the_password_is_asked_for_and_stands_nowhere():
    given = [SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"], SERVICES["trainer"]["environment"]["PGPASSWORD"]]
    assert all(value.startswith("${POSTGRES_PASSWORD:?") for value in given)


def test_the_database_is_kept_and_waited_for():
    (volume,) = SERVICES["postgres"]["volumes"]
    assert volume.split(":")[0] in COMPOSE["volumes"]
    assert "pg_isready" in " ".join(SERVICES["postgres"]["healthcheck"]["test"])
    assert SERVICES["trainer"]["depends_on"]["postgres"]["condition"] == "service_healthy"
