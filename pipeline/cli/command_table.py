"""The commands: purpose, actions, flags, and the options that matter to each."""

from dataclasses import dataclass, field

TRAINING = (
    "data",
    "model",
    "optimizer",
    "objective",
    "training",
    "regularization",
    "evaluation",
    "run",
    "seed",
    "device",
    "determinism",
    "hardware",
    "environment",
    "preflight",
    "registry",
)
DEVICE = ("device", "hardware.gpus", "hardware.memory_growth")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of `python -m pipeline`.

    Attributes:
        purpose: One line for `--help`.
        options: The keys or sections of the options that it reads. `--help` shows these.
        actions: Name of an action -> the number of run names that must follow it.
        flags: The flags that it accepts, such as --json.
        stored: Whether it uses the stored config of the run `run.name`.
        stoppable: Whether a signal stops it with a checkpoint, from which the same command resumes.
    """

    purpose: str
    options: tuple[str, ...]
    actions: dict[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    stored: bool = False
    stoppable: bool = False


JSON = ("--json",)
COMMANDS = {
    "train": Command(
        purpose="Train a model, evaluate it on the test split and write the report.", options=TRAINING, stoppable=True
    ),
    "check": Command(purpose="Check a configuration before training; train nothing.", options=TRAINING),
    "evaluate": Command(
        purpose="Evaluate a stored run again (run.name=NAME), on the same data or on other data (data=...).",
        options=("run.name", "run.root", "data", "evaluation", *DEVICE, "environment", "registry"),
        stored=True,
    ),
    "predict": Command(
        purpose="Predict rows without labels with the model of a stored run (run.name=NAME data.path=...).",
        options=("run.name", "run.root", "predict", "data", "evaluation.threshold", *DEVICE, "environment"),
        stored=True,
    ),
    "reproduce": Command(
        purpose="Train a stored run again (run.name=NAME) and compare it bit for bit.",
        options=("run", "data", *DEVICE, "environment", "training.checkpoints"),
        stored=True,
        stoppable=True,
    ),
    "runs": Command(
        purpose="List the runs under run.root; compare two of them; or write registry.html, a page of all runs.",
        options=("runs", "run.root", "registry"),
        actions={"compare": 2, "page": 0},
        flags=JSON,
    ),
    "registry": Command(
        purpose="Show the registry; upgrade its tables, ingest journals, verify it against them, or export it.",
        options=("registry", "run.root"),
        actions={"upgrade": 0, "ingest": 0, "verify": 0, "export": 0},
    ),
    "drift": Command(
        purpose="Detect drift in data and predictions (run.name=NAME data=...), or in a metric over runs (series).",
        options=("run.name", "run.root", "drift", "data", *DEVICE, "environment", "registry"),
        actions={"series": 0},
        flags=JSON,
        stored=True,
    ),
    "golden": Command(
        purpose="Train the golden runs and compare them with the kept results; record stores the new results.",
        options=("golden", *DEVICE),
        actions={"record": 0},
        flags=JSON,
    ),
    "qualify": Command(
        purpose="Train in the locked environment and in a candidate's (qualify.package=NAME==VERSION); compare.",
        options=("qualify", "golden.experiments"),
        flags=JSON,
    ),
    "doctor": Command(
        purpose="Check the environment and suggest fixes; --verify compares every installed file with its wheel.",
        options=("run.root", "registry", *DEVICE),
        flags=(*JSON, "--verify"),
    ),
    "shards": Command(
        purpose="Write a data set as TFRecord shards (data=... shards.path=FOLDER).", options=("data", "shards")
    ),
    "reference": Command(purpose="Print the config reference as Markdown.", options=()),
}
