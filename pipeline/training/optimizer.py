"""The optimizer and its learning-rate schedule."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar, override

from pipeline.errors import ConfigError
from pipeline.lazy import keras
from pipeline.options import Options, check_keras_form, option, section
from pipeline.overrides import shell_value

# typed option -> the argument of Keras's optimizers
ARGUMENTS = {"learning_rate": "learning_rate", "clip_norm": "global_clipnorm", "weight_decay": "weight_decay"}


@dataclass
class Schedule(Options):
    """How the learning rate changes over the run."""

    key: ClassVar[str] = "optimizer.schedule"

    name: str = option(
        "constant",
        "curve of the learning rate after the warm-up",
        choices=("constant", "cosine", "linear", "exponential"),
    )
    warmup_steps: int = option(
        0, "steps in which the learning rate rises linearly from 0 to optimizer.learning_rate", min=0, max=10**9
    )
    final_share: float = option(
        0.0, "learning rate at the end of the decay, divided by optimizer.learning_rate", min=0, max=1
    )
    decay_steps: int | None = option(
        None, "steps of the decay; null: all steps of the run after the warm-up", min=1, max=10**9
    )

    @override
    def check(self) -> None:
        if self.name == "constant" and (self.final_share or self.decay_steps is not None):
            given = "final_share" if self.final_share else "decay_steps"
            raise ConfigError(
                f"{self.place(given)}: expected a schedule that decays; found {self.place('name')}=constant. "
                f"Set {self.place('name')}=cosine."
            )
        if self.name == "exponential" and not self.final_share:
            raise ConfigError(
                f"{self.place('final_share')}: expected a number above 0 for {self.place('name')}=exponential, which "
                f"never reaches 0; found 0. Set {self.place('final_share')}=0.01."
            )

    @property
    def is_constant(self) -> bool:
        """Whether the learning rate never changes."""
        return self.name == "constant" and self.warmup_steps == 0

    def build(self, rate: float, total_steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
        """Return the learning rate: a number, or a Keras schedule.

        Args:
            rate: The learning rate after the warm-up.
            total_steps: The number of steps of the whole run.
        """
        steps = self.decay_steps or max(total_steps - self.warmup_steps, 1)
        schedules = keras.optimizers.schedules
        decayed: float | keras.optimizers.schedules.LearningRateSchedule = rate
        if self.name == "cosine":
            decayed = schedules.CosineDecay(rate, steps, alpha=self.final_share)
        elif self.name == "linear":
            decayed = schedules.PolynomialDecay(rate, steps, end_learning_rate=rate * self.final_share, power=1.0)
        elif self.name == "exponential":
            decayed = schedules.ExponentialDecay(rate, steps, decay_rate=self.final_share)
        if not self.warmup_steps:
            return decayed

        from pipeline.training.warm_up import WarmUp

        return WarmUp(decayed, self.warmup_steps)


@dataclass
class Optimizer(Options):
    """Any Keras optimizer.

    Presets write out the constants whose defaults have changed between releases of Keras. Accumulation
    (gradient_accumulation_steps), averaging (use_ema) and the other ways to clip (clipnorm, clipvalue) are arguments
    of Keras's optimizers, for `config`.
    """

    key: ClassVar[str] = "optimizer"

    class_name: str = option("Adam", "a class of keras.optimizers")
    config: dict[str, Any] = option({}, "its other arguments, as Keras serializes them")
    learning_rate: Any = option(
        None,
        "a number, or class_name and config of a class of keras.optimizers.schedules, whose decay_steps covers the "
        "whole run if it is not given; null: as in config, or Keras's default",
        min=0,
    )
    clip_norm: float | None = option(
        None, "largest norm of all gradients together; they are scaled down to it; null: not clipped", above=0
    )
    weight_decay: float | None = option(
        None, "share of each weight that a step subtracts, times the learning rate; null: as in config, or none", min=0
    )
    schedule: Schedule = section(Schedule, "how the learning rate changes over the run")

    @override
    def check(self) -> None:
        for name, argument in ARGUMENTS.items():
            value = getattr(self, name)
            if value is not None and argument in self.config:
                raise ConfigError(
                    f"{self.place('config')}.{argument}: expected the value once; found {self.place(name)}={value} "
                    f"too. Set {self.place(name)} only."
                )
        rate = self.learning_rate
        if isinstance(rate, dict):
            check_keras_form(self.place("learning_rate"), rate)
        elif rate is not None and not _is_number(rate):
            raise ConfigError(
                f"{self.place('learning_rate')}: expected a number, or class_name and config of a schedule; found "
                f"{rate!r}. Example: {self.place('learning_rate')}=0.001"
            )
        if not self.schedule.is_constant and not _is_number(self._given_rate):
            raise ConfigError(
                f"{self.place('learning_rate')}: expected a number, since {self.schedule.key} changes it during the "
                f"run; found {self._given_rate}. Set a number, or {self.schedule.place('name')}=constant and "
                f"{self.schedule.place('warmup_steps')}=0."
            )

    @property
    def depends_on_run_length(self) -> bool:
        """Whether the learning-rate schedule takes its length from the run."""
        if self.schedule.name != "constant":
            return self.schedule.decay_steps is None
        return _lacks_decay_steps(self._given_rate)

    @property
    def rate_key(self) -> str:
        """The dotted key under which the learning rate is given, for messages."""
        return self.place("config.learning_rate" if "learning_rate" in self.config else "learning_rate")

    @property
    def _given_rate(self) -> Any:
        return self.config.get("learning_rate") if self.learning_rate is None else self.learning_rate

    def build(self, total_steps: int, *, key: str = "optimizer") -> keras.optimizers.Optimizer:
        """Return a new Keras optimizer.

        Args:
            total_steps: The number of steps of the whole run. A schedule without decay_steps ends there.
            key: The dotted key of the options, for messages.

        Raises:
            ConfigError: Keras has no such class or argument, or refuses a value.
        """
        from pipeline import keras_objects

        arguments = dict(self.config)
        for name, argument in ARGUMENTS.items():
            if getattr(self, name) is not None:
                arguments[argument] = getattr(self, name)
        rate = self._given_rate
        if _is_number(rate):
            arguments["learning_rate"] = self.schedule.build(float(rate), total_steps)
        elif _lacks_decay_steps(rate):
            steps = {"decay_steps": _decay_steps(rate, total_steps)}
            arguments["learning_rate"] = {**rate, "config": steps | rate.get("config", {})}
        try:
            return keras_objects.optimizer(key, {"class_name": self.class_name, "config": arguments})
        except keras_objects.MissingArgument as error:
            raise ConfigError(f"{key}: {error.reason}. Example: {self._example(error.completed)}") from None

    def _example(self, completed: dict[str, Any]) -> str:
        """Return the override that adds the missing arguments, as it is typed on the command line.

        Args:
            completed: The optimizer with an example of each argument that is missing.
        """
        config, rate = completed["config"], self._given_rate
        if isinstance(rate, dict):  # a schedule, whose decay_steps is filled in and need not be typed
            completed_rate = config["learning_rate"]
            if _lacks_decay_steps(rate):
                del completed_rate["config"]["decay_steps"]
            if completed_rate != rate:
                return f"{self.rate_key}={shell_value(completed_rate)}"
        typed = {argument for name, argument in ARGUMENTS.items() if getattr(self, name) is not None}
        config = {name: value for name, value in config.items() if name not in typed}
        return f"{self.place('config')}={shell_value(config)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _lacks_decay_steps(rate: Any) -> bool:
    """Return whether a serialized schedule needs `decay_steps` and does not give it."""
    if not isinstance(rate, dict) or "decay_steps" in rate.get("config", {}):
        return False
    schedule = getattr(keras.optimizers.schedules, str(rate.get("class_name")), None)
    return inspect.isclass(schedule) and "decay_steps" in inspect.signature(schedule.__init__).parameters


def _decay_steps(rate: dict[str, Any], total_steps: int) -> int:
    """Return the number of steps for the decay: those of the run after the warm-up of a serialized schedule."""
    given = rate.get("config", {})
    warmup = given.get("warmup_steps", 0) if given.get("warmup_target") is not None else 0
    return max(total_steps - warmup, 1)
