"""The logs of every epoch: kept for checkpoints and reports, and recorded as they come."""

import json
import logging
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, cast, override

import keras

from pipeline.errors import ConfigError
from pipeline.files import atomic_write
from pipeline.layer_names import original_log_name

FILE_NAME = "metrics.jsonl"
logger = logging.getLogger(__name__)


class EpochHistory(keras.callbacks.Callback):
    """Keeps and records the logs of every epoch. Stops the run if the loss is not finite.

    rows: [{"epoch": counted from 1, metric name: value, ...}] of the whole run. Checkpoints hold them.
    """

    def __init__(self, record: Callable[[int, dict[str, float]], None], labels: Collection[str] = ()) -> None:
        """Make an empty history.

        Args:
            record: Called at the end of every epoch with its number, counted from 1, and its metrics, before the loss
                is checked.
            labels: The names of the labels. Keras's names of their losses and metrics are replaced by these.
        """
        super().__init__()
        self.record = record
        self.labels = tuple(labels)
        self.rows: list[dict[str, float]] = []

    @override
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = {original_log_name(name, self.labels): float(value) for name, value in (logs or {}).items()}
        optimizer = cast("keras.Model", self.model).optimizer  # Keras sets the model before the first epoch
        metrics.setdefault("learning_rate", float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
        self.rows = [*self.rows, {"epoch": epoch + 1, **metrics}]
        logger.debug("epoch %d: %s", epoch + 1, ", ".join(f"{name} {value:.6g}" for name, value in metrics.items()))
        self.record(epoch + 1, metrics)
        if not math.isfinite(metrics["loss"]):
            raise ConfigError(
                f"training: the loss became {metrics['loss']} in epoch {epoch + 1}. Expected a finite number. Lower "
                "optimizer.learning_rate, or clip gradients: optimizer.clip_norm=1.0."
            )

    def write(self, folder: Path) -> None:
        """Write the rows to metrics.jsonl in the run folder. If the file system refuses it, log a warning."""
        path = folder / FILE_NAME
        try:
            with atomic_write(path) as file:
                file.writelines(json.dumps(row).encode() + b"\n" for row in self.rows)
        except OSError as error:  # the checkpoints decide whether the run continues
            logger.warning("%s: %s; the epochs are in the journal of the run only", path, error.strerror)
