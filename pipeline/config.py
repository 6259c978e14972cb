"""The root of the config: every section, and which of them a resumed run may change."""

from dataclasses import dataclass

from pipeline.data.options import ShardsOutput
from pipeline.data.source import DataSource
from pipeline.evaluation.options import Drift, Evaluation
from pipeline.models.model import ModelOptions
from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import Options, option, section
from pipeline.preflight.options import Preflight
from pipeline.registry.options import Registry
from pipeline.runs.options import Golden, Predict, Run, RunsTable
from pipeline.runtime.options import Environment, Hardware, Qualify
from pipeline.training.optimizer import Optimizer
from pipeline.training.options import TrainingOptions
from pipeline.training.regularization import Regularization


@dataclass
class Config(Options):
    """One experiment: everything that decides its result, and what the commands need."""

    data: DataSource = section(DataSource, "the data source")
    model: ModelOptions = section(ModelOptions, "the model")
    optimizer: Optimizer = section(Optimizer, "the optimizer and its learning rate")
    objective: ObjectiveOptions = section(ObjectiveOptions, "losses and metrics: what one batch teaches")
    training: TrainingOptions = section(TrainingOptions, "the engine and the number of epochs")
    regularization: Regularization = section(Regularization, "terms added to any objective")
    evaluation: Evaluation = section(Evaluation, "how the model is scored", changes_result=False)
    run: Run = section(Run, "the run folder", changes_result=False, caller_only=True)
    seed: int = option(0, "of initial weights, data order and dropout; 0 is a seed like any other", min=0, below=2**31)
    device: str = option(
        "auto",
        "auto takes a GPU if there is one; gpu requires one; cpu leaves it alone",
        choices=("auto", "cpu", "gpu"),
        changes_result=False,
    )
    determinism: str = option(
        "strict", "strict: the same bits every time; relaxed: faster on a GPU", choices=("strict", "relaxed")
    )
    hardware: Hardware = section(Hardware, "what a run may use of the device", caller_only=True)
    environment: Environment = section(
        Environment,
        "what to do if the environment is not the locked one",
        changes_result=False,
        caller_only=True,
    )
    preflight: Preflight = section(Preflight, "checks before the first step", changes_result=False)
    shards: ShardsOutput = section(ShardsOutput, "output of `python -m pipeline shards`", changes_result=False)
    registry: Registry = section(Registry, "the registry of runs", changes_result=False, caller_only=True)
    predict: Predict = section(Predict, "output of `python -m pipeline predict`", changes_result=False)
    runs: RunsTable = section(RunsTable, "which runs `python -m pipeline runs` shows", changes_result=False)
    drift: Drift = section(Drift, "what `python -m pipeline drift` reports as drift", changes_result=False)
    golden: Golden = section(Golden, "small runs whose results are kept in the repository", changes_result=False)
    qualify: Qualify = section(
        Qualify, "how `python -m pipeline qualify` compares a candidate for the lock", changes_result=False
    )

    def check_sections(self) -> None:
        """Check the sections together: engine, model, objective and regularization.

        Raises:
            ConfigError: Two of them cannot be used together.
        """
        self.objective.check_with(self)
        self.regularization.check_with(self)
