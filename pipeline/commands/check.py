"""`check`: check a config as `train` does before its first step, and train nothing."""

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ExitStatus
from pipeline.experiment import prepare
from pipeline.preflight import inspection
from pipeline.preflight.catalogue import CATALOGUE
from pipeline.runtime import environment


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Print the number of preflight's findings, and those that are ignored; warnings are logged.

    Raises:
        ConfigError: A finding would stop a run before its first step.
    """
    environment.require_lock(config.environment.allow_drift)
    experiment = prepare(config)
    verdict = inspection.check(config, experiment.data, experiment.objective, experiment.feed)
    for finding in verdict.ignored:
        print(f"ignored {finding}")
    warnings = f"{len(verdict.warnings)} warning{'' if len(verdict.warnings) == 1 else 's'}"
    print(
        f"preflight: no error, {warnings}, {len(verdict.ignored)} ignored, of {len(CATALOGUE)} kinds of findings. "
        "Next: make train, with the same arguments"
    )
    return ExitStatus.DONE
