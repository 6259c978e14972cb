"""Environment variables that may change a result are recorded: those that the installed packages and Python read."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import variables

PACKAGES = ("absl", "h5py", "hydra", "keras", "ml_dtypes", "numpy", "omegaconf", "opt_einsum", "optree", "scipy",
            "tensorflow")  # fmt: skip
LIBRARIES = ("h5py.libs", "numpy", "numpy.libs", "nvidia", "scipy.libs", "tensorflow")
READING = r"""(environ(\.get|\.pop|\.setdefault)?|getenv)[\[(]\s*["'][A-Za-z0-9_]+["']"""
# names of variables that stand alone in a library, by the beginnings that libraries use for them
IN_LIBRARY = (
    "^(BLIS|CUBLAS|CUBLASLT|CUDA|CUDNN|CUFFT|CUSOLVER|CUSPARSE|DNNL|GOMP|GOTO|HDF5|KMP|MKL|NCCL|NPY|NVIDIA|OMP|ONEDNN|"
    "OPENBLAS|PJRT|TENSORFLOW|TF[A-Z0-9]*|TRITON|XLA)_[A-Z0-9_]{2,70}$"
)
SITE = Path(sysconfig.get_path("purelib"))
WITHOUT_EFFECT = Path(__file__).with_name("variables_without_effect.txt")


@pytest.fixture(scope="module")
def without_effect():
    """Names that change no result, and constants of the code that look like a variable."""
    lines = WITHOUT_EFFECT.read_text().splitlines()
    return {name for line in lines if not line.startswith("#") for name in line.split()}


def unknown(names, without_effect):
    """Return the names about which nothing is said."""
    return sorted(name for name in names if not variables.is_recorded(name) and name not in without_effect)


@pytest.mark.slow
def test_every_variable_that_a_package_reads_is_recorded_or_known_to_have_no_effect(without_effect):
    code = [SITE / package for package in PACKAGES]
    read = subprocess.run(
        ["grep", "-rhoE", "--include=*.py", READING, *code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    libraries = [path for folder in LIBRARIES for path in (SITE / folder).rglob("*.so*") if path.is_file()]
    found = (
        subprocess.run(["grep", "-ahozE", IN_LIBRARY, *libraries], capture_output=True, check=True)
        .stdout.decode()
        .split("\0")
    )
    names = {re.findall(r"""["'](\w+)["']""", line)[-1] for line in read} | {name for name in found if name}
    assert len(names) > 300  # otherwise the search is broken
    assert unknown(names, without_effect) == []


def test_every_variable_that_python_reads_is_recorded_or_known_to_have_no_effect(without_effect):
    page = subprocess.run([sys.executable, "--help-env"], capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"^(PYTHON\w+)", page, re.MULTILINE))
    assert "PYTHONHASHSEED" in names
    assert unknown(names, without_effect) == []


def test_nothing_is_recorded_that_the_packages_set_when_they_are_imported():
    started = dict(line.split("=", 1) for line in Path("/proc/self/environ").read_text().split("\0") if line)
    assert "tensorflow" in sys.modules
    assert variables.recorded() == variables.recorded(started)


@pytest.mark.parametrize(
    "name", ["TF_CPP_MIN_LOG_LEVEL", "PASSWORD", "TF_TOKEN_example_com", "TF_VAR_password", "TF_HTTP_PASSWORD",
             "NVIDIA_API_KEY", "CUDA_VISIBLE_DEVICES"]
)  # fmt: skip
def test_variables_that_may_be_secret_or_choose_a_device_are_not_recorded(name):
    assert variables.recorded({name: "x", "OMP_NUM_THREADS": "3"}) == {"OMP_NUM_THREADS": "3"}


@pytest.mark.parametrize("name", variables.FLAGS)
def test_a_file_of_flags_is_refused_since_its_content_would_not_be_recorded(name):
    variables.check({name: "--xla_cpu_enable_fast_math=true"})
    with pytest.raises(EnvironmentMismatch, match=rf"{name}: expected flags .*; found '/tmp/flags'"):
        variables.check({name: "/tmp/flags"})
