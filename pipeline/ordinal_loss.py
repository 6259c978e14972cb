"""The ranked probability score: a loss for classes with an order."""

from typing import Any, override

import keras
from keras import ops


@keras.saving.register_keras_serializable("pipeline")
class RankedProbabilityScore(keras.losses.Loss):
    """The mean squared difference between the predicted and the true cumulative distribution over ordered classes.

    It is 0 if the true class has probability 1, and 1 at most. A prediction that is wrong by one class costs less than
    one that is wrong by several. For two classes it is the Brier score. Epstein 1969, "A Scoring System for Probability
    Forecasts of Ranked Categories", in the form of Murphy 1971, "A Note on the Ranked Probability Score".
    """

    def __init__(self, from_logits: bool = False, **arguments: Any) -> None:
        """Create the loss.

        Args:
            from_logits: Whether the outputs are logits rather than probabilities.
            **arguments: The arguments of keras.losses.Loss.
        """
        super().__init__(**{"name": "ranked_probability_score", **arguments})
        self.from_logits = from_logits

    @override
    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row, (batch,), of class indices (batch,) or (batch, 1), or of one-hot rows."""
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        probabilities = ops.softmax(y_pred) if self.from_logits else y_pred
        classes = y_pred.shape[-1]
        if len(y_true.shape) < 2 or y_true.shape[-1] != classes:
            y_true = ops.one_hot(ops.reshape(ops.cast(y_true, "int32"), (-1,)), classes)
        differences = ops.cumsum(probabilities - ops.cast(y_true, probabilities.dtype), axis=-1)[:, :-1]
        return ops.mean(ops.square(differences), axis=-1)

    @override
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits}
