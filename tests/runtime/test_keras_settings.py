"""Settings of Keras in the environment and in keras.json do not decide a run."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import keras_settings

PROJECT = Path(__file__).parents[2]
SHOW = """
import json
from pipeline.runtime import keras_settings
keras_settings.prepare_import()
import keras
keras_settings.fix()
values = [getattr(keras.config, name)() for name in json.loads('NAMES')]
print(json.dumps([*values, keras.layers.Dense(1).dtype_policy.name]))
"""


def test_no_setting_of_keras_reaches_a_run(tmp_path):
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "jax"}'
    )
    names = ["floatx", "epsilon", "image_data_format", "backend", "max_epochs", "max_steps_per_epoch"]
    given = {"KERAS_HOME": str(tmp_path), "KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "x"}
    variables = os.environ | {"PYTHONPATH": str(PROJECT)} | given
    code = SHOW.replace("NAMES", json.dumps(names))
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout) == ["float32", 1e-7, "channels_last", "tensorflow", None, None, "float32"], (
        done.stderr
    )


@pytest.mark.parametrize(
    "text", ['{"floatx": "float128"}', '{"epsilon": "small"}', '{"image_data_format": 1}', "[1]"], ids=repr
)
def test_a_file_with_which_keras_cannot_be_imported_is_named(tmp_path, text):
    (tmp_path / "keras.json").write_text(text)
    with pytest.raises(EnvironmentMismatch, match=r"keras\.json: expected .* Delete the file"):
        keras_settings.check_file(tmp_path / "keras.json")


@pytest.mark.parametrize("text", ["{", '{"floatx": "float32"}', ""])
def test_a_file_that_changes_nothing_is_accepted_without_a_word(tmp_path, caplog, text):
    (tmp_path / "keras.json").write_text(text)
    logging.getLogger("pipeline").addHandler(caplog.handler)
    keras_settings.check_file(tmp_path / "keras.json")
    logging.getLogger("pipeline").removeHandler(caplog.handler)
    assert not caplog.records
