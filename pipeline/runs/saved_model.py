"""Save and load the model of a run, with a digest that is checked when it is loaded."""

import re
from pathlib import Path

import keras

from pipeline import archives, digest_files, keras_internals, keras_objects
from pipeline.errors import RunError, message_of
from pipeline.files import sha256

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

REASON = re.compile(r"Exception encountered: |Example error message for object [^\n]*:\n")
SPARE_BYTES = 2**26  # of variables that are not in the file; those that are may have half the bytes there


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
    digest_files.write(path, content)


def load(path: Path) -> keras.Model:
    """Load a saved model without compiling it.

    Args:
        path: The model.keras of a run, with model.keras.sha256 in the same folder.

    Raises:
        RunError: The file is missing, damaged, not the one that was saved, or one that Keras refuses.
    """
    try:
        expected, actual = digest_files.read_digest(path), sha256(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: expected a saved model and its sha256; {error}.") from None
    if actual != expected:
        raise RunError(
            f"{path}: expected sha256 {expected}; found {actual}. The file is damaged or was changed. "
            "Restore it, or train again under another run.name."
        )
    try:
        size = archives.check_stored(path)
        with keras_internals.limited_variables(2 * size + SPARE_BYTES):
            return keras.saving.load_model(path, custom_objects=keras_objects.custom_classes(), compile=False)
    except Exception as error:  # Keras raises errors of every kind for files that others wrote
        raise RunError(
            f"{path}: expected a model that this program saved; Keras refuses it: {_reason(error)}. Restore the file, "
            "or train again under another run.name."
        ) from None


def _reason(error: Exception) -> str:
    """Return the reason in an error of Keras, which repeats the whole config before it, in one line."""
    inner = REASON.split(str(error))[-1].strip()
    return message_of(ValueError(inner) if inner else error).rstrip(".")
