"""Fixtures that train a config with an engine."""

from training_runs import configured, train, training_run  # noqa: F401
