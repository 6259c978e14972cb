"""The saved model of a run."""

from pathlib import Path

import keras

from pipeline.errors import RunError
from pipeline.files import sha256

# imported because they register the classes that a saved model may name
from pipeline.layers import generative_adversarial_network, transformer_encoder  # noqa: F401


def load(path: Path) -> keras.Model:
    """Load a saved model, not compiled.

    Args:
        path: The model.keras of a run, with model.keras.sha256 beside it.

    Raises:
        RunError: The file is missing, damaged or not the one that was saved.
    """
    try:
        expected = path.with_name("model.keras.sha256").read_text().split()[0]
        found = sha256(path)
    except (OSError, IndexError) as error:
        raise RunError(f"{path}: expected a saved model and its sha256; {error}.") from None
    if found != expected:
        raise RunError(f"{path}: expected sha256 {expected}; found {found}. The file is damaged or was changed.")
    return keras.saving.load_model(path, compile=False)
