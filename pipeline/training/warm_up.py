"""The warm-up of the learning rate, before a schedule or a constant rate."""

from typing import Any, override

import keras
from keras import ops


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Raises the learning rate linearly over the first steps (Goyal et al. 2017), then follows a schedule.

    In step i of the warm-up, counted from 1, the rate is i / steps of the rate after the warm-up, so it is never 0.
    """

    def __init__(self, after: float | keras.optimizers.schedules.LearningRateSchedule, steps: int) -> None:
        """Create the schedule.

        Args:
            after: The learning rate after the warm-up. If it is a schedule, its step 0 is the first step after the
                warm-up.
            steps: The number of steps of the warm-up, at least 1.
        """
        self.after = after
        self.steps = steps

    @override
    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rate = self.after(ops.maximum(step - self.steps, 0.0)) if callable(self.after) else self.after
        return rate * ops.minimum((step + 1.0) / self.steps, 1.0)

    @override
    def get_config(self) -> dict[str, Any]:
        return {"after": self.after, "steps": self.steps}
