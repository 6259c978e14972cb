"""Options of scoring and of drift detection."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, override

from pipeline.errors import ConfigError
from pipeline.options import Options, option

AUTO = "auto"  # the split that `data.splits.MatchingDataset.choose` chooses
SPLITS = (AUTO, "test", "validation", "train", "all")
SPLITS_HELP = (
    "auto: the test split of the run's own data; all rows of other data, or its test split if it has splits of its own"
    "; all: every row of data without splits of its own"
)
DEFAULT_THRESHOLD = "0.5"  # the most probable class is predicted
NUMBER = r"(\d+\.?\d*|\.\d+)"
AT_LEAST = re.compile(rf"(recall|precision)\s*>=\s*{NUMBER}")
COST = re.compile(rf"cost\(\s*fp\s*=\s*{NUMBER}\s*,\s*fn\s*=\s*{NUMBER}\s*\)")
NO_CALIBRATION, TEMPERATURE, ISOTONIC = "none", "temperature", "isotonic"
LEAVE_OUT, KEEP = "leave_out", "keep"  # the choices for rows that the run was trained on


@dataclass
class Evaluation(Options):
    """How a model is scored."""

    key: ClassVar[str] = "evaluation"

    resamples: int = option(1_000, "bootstrap resamples for each confidence interval", min=100, max=100_000)
    confidence: float = option(0.95, "level of the confidence intervals", min=0.5, below=1)
    beta: float = option(1.0, "two classes: beta of an additional F score, such as 2 for F2; 1: none", above=0)
    bins: int = option(10, "bins of the reliability diagram", min=2, max=1_000)
    split: str = option(AUTO, f"`evaluate` only: the rows to score; {SPLITS_HELP}", choices=SPLITS)
    groups: list[str] = option(
        [],
        "columns that divide the rows into groups (region, device), features or not: each group is scored; a column of "
        "many numbers gives quarters of the rows",
        changes_result=False,
    )
    threshold: Any = option(
        0.5,
        "two classes, or multi-label: the probability from which a row is predicted positive; a number, or a rule "
        "that chooses it on the validation rows: max_f1, recall>=0.9 (highest precision), precision>=0.9 (highest "
        "recall), cost(fp=1, fn=20) (lowest cost)",
    )
    positive: str = option("", "two classes: the positive class; '' for the second in class order")
    calibrate: str = option(
        NO_CALIBRATION,
        "labels with classes: how the model's probabilities are calibrated on the validation rows after training. "
        "temperature: the logits of a label are divided by one number; isotonic: a monotone function per class, for "
        "many validation rows",
        choices=(NO_CALIBRATION, TEMPERATURE, ISOTONIC),
    )
    trained_rows: str = option(
        LEAVE_OUT,
        "`evaluate` and `drift` on other data than the run's own: whether rows that the run was trained on are scored; "
        "split=train always keeps them",
        choices=(LEAVE_OUT, KEEP),
        changes_result=False,
    )

    @override
    def check(self) -> None:
        text = str(self.threshold)
        limit = AT_LEAST.fullmatch(text)
        number = limit[2] if limit else text
        if text == "max_f1" or COST.fullmatch(text):
            return
        if not re.fullmatch(NUMBER, number) or not 0 < float(number) <= 1 or (limit is None and float(number) == 1):
            raise ConfigError(
                f"evaluation.threshold: expected a number between 0 and 1, max_f1, recall>=0.9, precision>=0.9 or "
                f"cost(fp=1, fn=20); found {text}. Set evaluation.threshold=max_f1."
            )


@dataclass
class Drift(Options):
    """Which difference is drift: larger than chance explains, and large enough to matter."""

    key: ClassVar[str] = "drift"

    rate: float = option(0.01, "false discovery rate over all columns of a check", above=0, below=1)
    psi: float = option(0.02, "smallest population stability index that is drift", min=0)
    distance: float = option(
        0.05, "smallest Kolmogorov-Smirnov distance, or change of the calibration error, that is drift", min=0
    )
    effect: float = option(
        0.1, "smallest effect size that is drift: Cohen's w of a chi-square test, Cohen's h of a share", min=0
    )
    difference: float = option(0.005, "smallest difference of a metric that is drift", min=0)
    against: str = option("", "`drift` only: a second run, scored on the same rows; '' for none")
    split: str = option(AUTO, f"`drift` only: the rows to compare; {SPLITS_HELP}", choices=SPLITS)
    metric: str = option("accuracy", "`drift series` only: the score of each run that makes the series")
    label: str = option("", "`drift series` only: the label of the score; '' if the runs have one label")
    delta: float = option(
        0.002, "`drift series` only: chance of a false change point per cut of ADWIN", above=0, below=1
    )
    threshold: float = option(
        8.0, "`drift series` only: Page-Hinkley threshold in standard deviations of the noise of a run", min=0
    )
    rows: int = option(10, "`drift series` only: smallest number of runs with a verdict", min=5)
