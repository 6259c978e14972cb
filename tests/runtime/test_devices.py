"""Devices: those that the config allows are selected, and a missing one is never replaced silently."""

import pytest
import tensorflow as tf

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import devices
from pipeline.runtime.options import Hardware

without_gpu = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")


@without_gpu
def test_missing_gpu_is_exit_status_3():
    with pytest.raises(EnvironmentMismatch, match="device=gpu") as raised:
        devices.select("gpu", Hardware())
    assert raised.value.status == 3


@without_gpu
@pytest.mark.parametrize("device", ["auto", "gpu"])
@pytest.mark.parametrize("index", [0, 7])
def test_index_of_a_missing_gpu_is_refused(device, index):
    with pytest.raises(EnvironmentMismatch, match=r"hardware\.gpus"):
        devices.select(device, Hardware(gpus=[index]))


@pytest.mark.parametrize("gpus", [[], None])
def test_device_gpu_never_falls_back_to_the_cpu(gpus):
    if gpus is None and tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(EnvironmentMismatch):
        devices.select("gpu", Hardware(gpus=gpus))


@without_gpu
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_record_says_cpu_if_there_is_no_gpu(device):
    record = devices.select(device, Hardware())
    assert record == {"device": "cpu", "gpus": [], "memory_growth": True, "tf32": False}


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_is_set_as_the_config_says(tf32):
    devices.select("cpu", Hardware(tf32=tf32))
    assert tf.config.experimental.tensor_float_32_execution_enabled() == tf32
