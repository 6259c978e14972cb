"""The reasons for a missing GPU, each with a fix."""

import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import gpus

FINE = gpus.GpuSetup(driver="550.54.15", device=True, visible=None, libraries=True, container=False)
ARCHITECTURES = ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"]  # of TensorFlow 2.21


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        ({"driver": None, "device": False}, "no NVIDIA driver", "install the driver"),
        ({"driver": "470.82.01"}, "470.82.01, CUDA 12 needs 525.60.13", "newer driver"),
        ({"driver": "525.60.9"}, "525.60.9, CUDA 12 needs", "newer driver"),
        ({"device": False, "container": True}, "started without its GPUs", "--gpus all"),
        ({"device": False}, "/dev/nvidia0 does not exist", "nvidia-smi"),
        ({"visible": ""}, "CUDA_VISIBLE_DEVICES=''", "unset"),
        ({"visible": "-1"}, "CUDA_VISIBLE_DEVICES='-1'", "unset"),
        ({"libraries": False}, "requirements-cpu.txt has none", "in the image"),
        (
            {"messages": "I0 starts\nW0 Cannot dlopen some GPU libraries.\nI0 ends"},
            "Cannot dlopen some GPU",
            "LOG_LEVEL=0",
        ),
        ({}, "TensorFlow finds none", "LOG_LEVEL=0"),
    ],
)
def test_each_reason_for_a_missing_gpu_comes_with_a_fix(change, reason, advice):
    explained = gpus.explain_missing(replace(FINE, **change))
    assert reason in explained[0] and advice in explained[1]


def test_missing_driver_is_reported_before_its_consequences():
    nothing = gpus.GpuSetup(driver=None, device=False, visible="", libraries=False, container=True)
    assert "no NVIDIA driver" in gpus.explain_missing(nothing)[0]


@pytest.mark.parametrize(
    ("driver", "old"), [("525.60.13", False), ("525.60.12", True), ("570.86", False), (None, False)]
)
def test_driver_is_too_old_below_the_first_of_cuda_12(driver, old):
    assert gpus.is_too_old(driver) is old


@pytest.mark.parametrize(
    ("capability", "how"),
    [
        ([8, 0], "ready"),
        ([8, 6], "ready"),
        ([7, 5], "ready"),
        ([9, 0], "ready"),
        ([10, 0], "compiled"),
        ([12, 0], "compiled"),
        ([5, 2], "none"),
    ],
)
def test_gpu_runs_kernels_of_its_generation_or_compiles_them(capability, how):
    assert gpus.kernel_support(capability, ARCHITECTURES) == how


def test_newer_gpu_is_not_supported_without_ptx():
    assert gpus.kernel_support([9, 0], ["sm_80"]) == "none"


def test_tensorflow_that_does_not_load_is_reported_with_its_last_message(tmp_path, monkeypatch):
    (tmp_path / "pipeline/runtime").mkdir(parents=True)
    for package in ("pipeline", "pipeline/runtime"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "pipeline/runtime/tensorflow_probe.py").write_text("raise ImportError('libcudnn.so.9: no such file')")
    monkeypatch.setattr(gpus.environment, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentMismatch, match=r"status 1: ImportError: libcudnn\.so\.9"):
        gpus.probe_tensorflow()


def test_gpu_setup_is_read_without_tensorflow():
    code = "import sys; from pipeline.runtime import gpus; gpus.setup(''); print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
