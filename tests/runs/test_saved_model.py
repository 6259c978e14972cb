"""Model files that Keras refuses, or that would take all memory: refused with the reason, and nothing is executed."""

import hashlib
import io
import json
import zipfile

import h5py
import keras
import pytest

from pipeline.errors import RunError
from pipeline.runs import saved_model


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The files inside the archive of a small model: name -> bytes."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    inputs = keras.Input((4,))
    saved_model.save(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(8)(inputs))), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members, compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


def with_layer(members, **changes):
    """Return an archive whose first Dense layer has other entries in its config, or, with a capital, another class."""
    config = json.loads(members["config.json"])
    layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
    for name, value in changes.items():
        (layer if name in layer else layer["config"])[name] = value
    return packed(members | {"config.json": json.dumps(config)})


def with_weights(members, change):
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = next(name for name in names if name.startswith("layers/dense/"))
        del file[name]
        change(file, name)
    return packed(members | {"model.weights.h5": content.getvalue()})


def linked_to_another_file(file, name):
    file[name] = h5py.ExternalLink("/etc/passwd", "/x")


LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
DAMAGES = {
    "no archive": (lambda members: b"x" * 1_000, "not a zip file"),
    "a cut archive": (lambda members: packed(members)[:-30], "not a zip file"),
    "no config": (lambda members: packed({"model.weights.h5": members["model.weights.h5"]}), "config.json"),
    "a config that is a list": (lambda members: packed(members | {"config.json": b"[]"}), ""),
    "a config of many levels": (lambda members: packed(members | {"config.json": b'{"a":' * 100_000}), ""),
    "a class of another module": (
        lambda members: with_layer(members, class_name="system", module="os", registered_name=None), "os"
    ),
    "code of a lambda": (
        lambda members: with_layer(members, class_name="Lambda", config={"name": "x", "function": LAMBDA}), "[Ll]ambda"
    ),
    "more units than memory": (lambda members: with_layer(members, units=10**9), "expected variables of at most"),
    "a negative number of units": (lambda members: with_layer(members, units=-1), "units"),
    "an archive that unpacks to more": (
        lambda members: packed(members | {"model.weights.h5": bytes(10**7)}, zipfile.ZIP_DEFLATED), "it unpacks to"
    ),
    "weights in another file": (
        lambda members: with_weights(members, linked_to_another_file), ""
    ),
    "weights of another shape": (
        lambda members: with_weights(members, lambda file, name: file.create_dataset(name, (3,), "f4")), "shape"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_file_that_keras_refuses_is_named_with_the_reason_in_one_line(members, tmp_path, damage, reason):
    path, content = tmp_path / "model.keras", damage(members)
    path.write_bytes(content)
    path.with_name("model.keras.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  model.keras\n")
    with pytest.raises(RunError, match=rf"model\.keras: expected a model .* refuses it: .*{reason}") as error:
        saved_model.load(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1_000


@pytest.mark.parametrize("text", ["", "\n", "\xff"])
def test_a_damaged_digest_is_named(members, tmp_path, text):
    path = tmp_path / "model.keras"
    path.write_bytes(packed(members))
    path.with_name("model.keras.sha256").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=r"model\.keras\.sha256: expected "):
        saved_model.load(path)
