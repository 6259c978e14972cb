"""Save and load the model of a run, with a digest that is checked when it is loaded."""

import hashlib
from pathlib import Path

import keras

from pipeline import keras_objects
from pipeline.errors import RunError
from pipeline.files import atomic_write, sha256

# imported because these modules register classes that a saved model may contain
from pipeline.function_objects import FunctionLoss, FunctionMetric  # noqa: F401
from pipeline.label_objects import LabelMetric  # noqa: F401
from pipeline.layers import (  # noqa: F401
    generative_adversarial_network,
    isotonic_calibration,
    ordered_quantiles,
    transformer_encoder,
)
from pipeline.ordinal_loss import RankedProbabilityScore  # noqa: F401
from pipeline.quantile_objects import MedianMetric, QuantileLoss  # noqa: F401


def save(model: keras.Model, path: Path) -> None:
    """Save a model without its optimizer, and the sha256 of the file in the format of `sha256sum --check`.

    Args:
        model: The trained model.
        path: The model.keras of a run. The digest is written to model.keras.sha256.

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
    """Load a saved model without compiling it.

    Args:
        path: The model.keras of a run, with model.keras.sha256 in the same folder.

    Raises:
        RunError: The file is missing, damaged or not the one that was saved.
    """
    try:
        expected = path.with_name(f"{path.name}.sha256").read_text().split()[0]
        actual = sha256(path)
    except (OSError, IndexError) as error:
        raise RunError(f"{path}: expected a saved model and its sha256; {error}.") from None
    if actual != expected:
        raise RunError(
            f"{path}: expected sha256 {expected}; found {actual}. The file is damaged or was changed. "
            "Restore it, or train again under another run.name."
        )
    return keras.saving.load_model(path, custom_objects=keras_objects.custom_classes(), compile=False)
