"""The saved model of a run."""

import hashlib
from pathlib import Path

import keras

from pipeline import keras_objects
from pipeline.errors import RunError
from pipeline.files import atomic_write, sha256

# imported because they register the classes that a saved model may name
from pipeline.function_objects import FunctionLoss, FunctionMetric  # noqa: F401
from pipeline.layers import generative_adversarial_network, transformer_encoder  # noqa: F401


def save(model: keras.Model, path: Path) -> None:
    """Save a model without its optimizer and, beside it, the sha256 of the file as `sha256sum --check` reads it.

    Args:
        model: The trained model.
        path: The model.keras of a run.

    Raises:
        OSError: The file cannot be written.
    """
    draft = path.with_name(".model.partial.keras")
    model.save(draft, include_optimizer=False)
    content = draft.read_bytes()
    draft.unlink()
    digest = f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode()
    for target, data in ((path, content), (path.with_name(f"{path.name}.sha256"), digest)):
        with atomic_write(target) as file:
            file.write(data)


def load(path: Path) -> keras.Model:
    """Load a saved model, not compiled.

    Args:
        path: The model.keras of a run, with its sha256 beside it.

    Raises:
        RunError: The file is missing, damaged or not the one that was saved.
    """
    try:
        expected = path.with_name(f"{path.name}.sha256").read_text().split()[0]
        found = sha256(path)
    except (OSError, IndexError) as error:
        raise RunError(f"{path}: expected a saved model and its sha256; {error}.") from None
    if found != expected:
        raise RunError(f"{path}: expected sha256 {expected}; found {found}. The file is damaged or was changed.")
    return keras.saving.load_model(path, custom_objects=keras_objects.custom_classes(), compile=False)
