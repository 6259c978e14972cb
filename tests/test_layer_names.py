"""Names of layers, made from names of columns and labels of any kind."""

import pytest

from pipeline.layer_names import keras_log_name, layer_name, original_log_name

ODD = [
    "Loan Status",
    "Größe (cm)",
    "a/b",
    "%",
    "",
    " ",
    "_x",
    "日本",
    "x" * 200,
    "a:b=c",
    'say "q"',
    "a\nb",
    "dense",
    "val",
]


@pytest.mark.parametrize("name", ["label", "x", "digit", "kind.2", "a-b", "1st", "name", "loss", "train"])
def test_a_name_that_keras_accepts_stays(name):
    assert layer_name(name) == name


@pytest.mark.parametrize("name", [*ODD, "conv2d_1", "batch_normalization", "input", "val_loss"])
def test_another_name_becomes_one_that_keras_accepts(name):
    assert layer_name(name) != name
    assert layer_name(name).isascii() and layer_name(name).replace("_", "").isalnum() and len(layer_name(name)) < 50


def test_names_that_differ_in_odd_characters_only_stay_different():
    names = ["a b", "a_b", "a/b", "a  b", "a b ", "A b", "a.b"]
    assert len({layer_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("label", ["Loan Status", "a/b", "kind", "dense"])
@pytest.mark.parametrize("metric", ["loss", "accuracy"])
@pytest.mark.parametrize("prefix", ["", "val_"])
def test_a_logged_name_has_its_label_as_written(label, metric, prefix):
    logged = f"{prefix}{layer_name(label)}_{metric}"
    assert original_log_name(logged, ["other", label]) == f"{prefix}{label}_{metric}"
    assert keras_log_name(f"{prefix}{label}_{metric}", ["other", label]) == logged


def test_the_loss_of_a_label_named_val_is_not_mistaken_for_the_validation_loss():
    assert original_log_name("val_loss", ["val"]) == keras_log_name("val_loss", ["val"]) == "val_loss"
    assert original_log_name(f"{layer_name('val')}_loss", ["val"]) != "val_loss"
