"""Settings that Keras reads from the environment and from keras.json: fixed, since only the config decides a run.

KERAS_MAX_EPOCHS=1, for example, would end every training after one epoch without a word.
"""

import json
import logging
import os
from pathlib import Path

from pipeline.errors import EnvironmentMismatch

logger = logging.getLogger(__name__)

LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")
BACKEND = "tensorflow"
# the defaults of Keras 3; keras.json changes them
FLOATX, EPSILON, IMAGE_DATA_FORMAT = "float32", 1e-7, "channels_last"
ALLOWED = {
    "floatx": ("float16", "float32", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}


def prepare_import() -> None:
    """Remove from the environment what Keras reads when it is imported. Each removed setting is logged.

    Raises:
        EnvironmentMismatch: Keras cannot be imported with the values in keras.json.
    """
    for name in LIMITS:
        if value := os.environ.pop(name, None):
            logger.warning("%s=%s is not used: training.epochs decides how long a run trains", name, value)
    if os.environ.get("KERAS_BACKEND", BACKEND) != BACKEND:
        logger.warning("KERAS_BACKEND=%s is not used: the backend is TensorFlow", os.environ["KERAS_BACKEND"])
    os.environ["KERAS_BACKEND"] = BACKEND
    check_file(Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json")


def check_file(path: Path) -> None:
    """Check that Keras can be imported with a keras.json, and log the values that are not used.

    Raises:
        EnvironmentMismatch: It cannot.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # Keras ignores such a file too
    if not isinstance(settings, dict):
        raise EnvironmentMismatch(f"{path}: expected a JSON object; found another value. Delete the file.")
    for key, values in ALLOWED.items():
        if key in settings and settings[key] not in values:
            raise EnvironmentMismatch(
                f"{path}: expected {key} to be one of {', '.join(values)}; found {settings[key]!r}. Delete the file."
            )
    if not isinstance(settings.get("epsilon", EPSILON), float):
        raise EnvironmentMismatch(
            f"{path}: expected a number as epsilon; found {settings['epsilon']!r}. Delete the file."
        )
    fixed = {"floatx": FLOATX, "epsilon": EPSILON, "image_data_format": IMAGE_DATA_FORMAT, "backend": BACKEND}
    others = [f"{key}={settings[key]}" for key, value in fixed.items() if settings.get(key, value) != value]
    if others:
        logger.warning("%s: %s is not used: the config decides a run", path, ", ".join(others))


def fix() -> None:
    """Set what keras.json and the environment may have changed in this process."""
    import keras

    keras.config.set_floatx(FLOATX)
    keras.config.set_epsilon(EPSILON)
    keras.config.set_image_data_format(IMAGE_DATA_FORMAT)
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)
