"""Composition of the config from presets and overrides, and stored configs."""

import shutil

import pytest

from pipeline import stored_config
from pipeline.cli import compose as composition
from pipeline.config import Config
from pipeline.data.sources.npz import Npz
from pipeline.errors import ConfigError, RunError
from pipeline.models.cnn import Cnn


@pytest.mark.slow
def test_every_preset_of_every_group_composes():
    needed = {
        "adversarial": ["model=gan", "training=tape"],
        "csv": ["data.path=x", "data.numeric=[a]"],
        "parquet": ["data.path=x", "data.numeric=[a]"],
        "gan": ["objective=adversarial", "training=tape"],
        "maml": ["training=tape"],
        "multi_task": ["training=tape"],
    }
    needed |= {name: ["data.path=x"] for name in ("idx", "image_folder", "mnist_convnet", "npz", "tfrecord")}
    for group in (*composition.PRESET_GROUPS, "experiment"):
        for name in composition.choices(group):
            extra = needed.get(name, [])
            assert isinstance(composition.compose([f"{group}={name}", *extra]), Config)


def test_every_choice_has_a_description():
    for group in (*composition.PRESET_GROUPS, "experiment"):
        for name, comment in composition.choices(group).items():
            assert comment, f"{group}={name}"


def test_config_read_back_from_config_yaml_is_equal(tmp_path, stored):
    written = composition.compose(["data=japanese_vowels", "model=gru", "optimizer=adam_cosine", "seed=7"])
    (tmp_path / "config.yaml").write_text(stored_config.to_yaml(written))
    assert stored(tmp_path) == written


def test_another_data_source_replaces_the_stored_one(tmp_path, stored):
    (tmp_path / "config.yaml").write_text(stored_config.to_yaml(composition.compose(["model=cnn", "seed=7"])))
    changed = stored(tmp_path, "data=npz", "data.path=other.npz")
    assert (type(changed.data), changed.data.path) == (Npz, "other.npz")
    assert (type(changed.model), changed.seed) == (Cnn, 7)


def test_stored_run_keeps_its_model(tmp_path, stored):
    (tmp_path / "config.yaml").write_text(stored_config.to_yaml(composition.compose([])))
    with pytest.raises(ConfigError, match="keeps its model"):
        stored(tmp_path, "model=cnn")


def test_file_that_is_not_the_config_of_a_run_is_refused(tmp_path, stored):
    (tmp_path / "config.yaml").write_text("just: a file\n")
    with pytest.raises(RunError, match="expected the config"):
        stored(tmp_path)


def test_optimizer_preset_replaces_every_constant_of_the_default():
    assert "epsilon" not in composition.compose(["optimizer=sgd"]).optimizer.config


def test_error_names_its_option_after_another_one_was_corrected_to_a_list():
    with pytest.raises(ConfigError, match=r"data\.multi_label_columns"):
        composition.compose(["data=csv", "data.path=x.csv", "data.numeric=*", "data.multi_label_columns=[a,b]"])


@pytest.mark.parametrize("text", ["seed: !!python/object/apply:os.system [ls]\n", "seed: [1\nmodel: x\n", "a: *b\n"])
def test_preset_that_is_no_plain_yaml_is_named_with_its_line(tmp_path, monkeypatch, text):
    shutil.copytree(composition.PRESETS, tmp_path / "configs")
    monkeypatch.setattr(composition, "PRESETS", tmp_path / "configs")
    (tmp_path / "configs/experiment/mine.yaml").write_text(f"# @package _global_\n{text}")
    with pytest.raises(ConfigError, match=r"mine\.yaml, line [23]: expected a preset in plain YAML"):
        composition.compose(["experiment=mine"])
