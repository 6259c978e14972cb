"""Options of scoring and of drift detection."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.options import Options, option

AUTO = "auto"  # the split that `data.splits.MatchingDataset.choose` chooses
SPLITS = (AUTO, "test", "validation", "train", "all")
SPLITS_HELP = (
    "auto: the test split of the run's own data, and of other data all rows, or the test split if it has splits of its "
    "own; all: every row of data without splits of its own"
)
LEAVE_OUT, KEEP = "leave_out", "keep"  # of rows that the run was trained on


@dataclass
class Evaluation(Options):
    """How a model is scored."""

    key: ClassVar[str] = "evaluation"

    resamples: int = option(1_000, "bootstrap resamples for each confidence interval", min=100)
    confidence: float = option(0.95, "level of the confidence intervals", min=0.5, below=1)
    beta: float = option(1.0, "two classes: weight of recall in a further F score, as 2 for F2; 1: none", above=0)
    bins: int = option(10, "bins of the reliability diagram", min=2)
    split: str = option(AUTO, f"`evaluate` only: the rows to score; {SPLITS_HELP}", choices=SPLITS)
    groups: list[str] = option(
        [],
        "columns whose values are groups of rows (region, device), which need not be features: each group is scored; "
        "many numbers are divided into quarters of the rows",
        changes_result=False,
    )
    trained_rows: str = option(
        LEAVE_OUT,
        "`evaluate` and `drift` on other data than the run's own: whether rows that the run was trained on are scored; "
        "split=train always keeps them",
        choices=(LEAVE_OUT, KEEP),
        changes_result=False,
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
