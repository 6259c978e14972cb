"""The callback by which a training run tells the registry of its epochs."""

import keras

from pipeline.registry.journal import Event


class EpochRecorder(keras.callbacks.Callback):
    """Passes every epoch's logs on: record(event, epoch=counted from 1, metrics={name: float}). It changes nothing."""

    def __init__(self, record):
        super().__init__()
        self.record = record

    def on_epoch_end(self, epoch, logs=None):
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        metrics.setdefault("learning_rate", float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
        self.record(Event.EPOCH, epoch=epoch + 1, metrics=metrics)
