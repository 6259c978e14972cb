"""Training with row weights: which options can be used with them, and their product with class weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.data.row_weights import KEY
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from pipeline.config import Config


def check(config: Config) -> None:
    """Check that the objective and the regularization of a run can be used with row weights.

    Raises:
        ConfigError: They cannot.
    """
    objective = config.objective
    if not objective.predicts_labels:
        raise ConfigError(
            f"{KEY}: expected an objective that compares outputs with labels, row by row; found "
            f"objective={objective.choice}. Set {KEY}=''."
        )
    if config.regularization.gradient_penalty:
        raise ConfigError(
            f"{KEY}: expected regularization.gradient_penalty=0, since the penalty of a row grows with the square of "
            f"its weight; found {config.regularization.gradient_penalty:g}. Set regularization.gradient_penalty=0."
        )


def weigh_training_loss(model: keras.Model, weigh: Callable[[Any, Any], Any]) -> None:
    """Change the sample weights of the loss with which Model.fit trains, but not those of metrics and of validation.

    Args:
        model: The model.
        weigh: Labels and sample weights of a batch -> the sample weights of its loss.
    """
    unchanged = model.compute_loss

    def compute_loss(
        x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        weights = weigh(y, sample_weight) if training else sample_weight
        return unchanged(x, y, y_pred, weights, training=training)

    model.compute_loss = compute_loss
