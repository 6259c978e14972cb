"""Scores of groups of rows, such as regions or devices, and the gap between the best and the worst group."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.containers import Split, Table
from pipeline.errors import DataError, nearest
from pipeline.evaluation.bootstrap import Score, percentile_interval, resampled_scores, weighted
from pipeline.evaluation.decisions import Decision
from pipeline.evaluation.main_scores import LOWER_IS_BETTER, score_function, score_of_groups
from pipeline.evaluation.options import Evaluation
from pipeline.spec import DataSpec, Label

FEWEST_ROWS = 20  # in a group that is compared with others
MOST_NAMES = 50  # different values of a column that are not numbers
MOST_NUMBERS = 20  # different numbers of a column; with more, the rows are divided into quarters
NO_COLUMNS = (
    "This data has none (image_folder reads them from file names: data.name_pattern). Set evaluation.groups=[]."
)
MISSING = "(missing)"  # the group of the rows without a value


@dataclass(frozen=True, kw_only=True)
class RowGroups:
    """The groups of rows by one column.

    Attributes:
        column: The name of the column.
        names: The names of the groups.
        indices: (rows,) int64, the group of each row.
    """

    column: str
    names: tuple[str, ...]
    indices: np.ndarray


@dataclass(frozen=True, kw_only=True)
class GroupScore:
    """The score of one group.

    Attributes:
        name: The name of the group.
        rows: Number of rows.
        score: The score with its interval; the interval is NaN if the group has one row.
    """

    name: str
    rows: int
    score: Score

    @property
    def is_compared(self) -> bool:
        """Whether the group has enough rows to be compared with others."""
        return self.rows >= FEWEST_ROWS


@dataclass(frozen=True, kw_only=True)
class GroupComparison:
    """The scores of a label in the groups of one column.

    Attributes:
        column: The name of the column.
        metric: The name of the score.
        groups: The worst score first; groups with too few rows last.
        gap: The gap between the best and the worst group with enough rows; None if fewer than two have enough.
    """

    column: str
    metric: str
    groups: tuple[GroupScore, ...]
    gap: Score | None


# ---- the groups -----------------------------------------------------------------------------------------------------


def read_groups(columns: Sequence[str], spec: DataSpec, rows: Split) -> list[RowGroups]:
    """Return the groups of rows by each column.

    Args:
        columns: The names in evaluation.groups.
        spec: The spec of the data.
        rows: The rows.

    Raises:
        DataError: A column does not exist, or has too many different values.
    """
    if not columns:
        return []
    known = known_columns(spec, rows)
    for name in columns:
        if name not in known:
            advice = nearest(name, known) if known else NO_COLUMNS
            raise DataError(f"evaluation.groups: expected columns of the data; found {name!r}. {advice}")
    return [group_rows(name, known[name]) for name in columns]


def known_columns(spec: DataSpec, rows: Split) -> dict[str, np.ndarray]:
    """Return all columns with one value per row, features or not: name -> (rows,)."""
    if not isinstance(rows, Table):
        return {}
    columns = dict(rows.keys)
    for name, values in rows.features.items():
        if isinstance(values, np.ndarray) and values.ndim == 2:
            columns |= zip(spec.features[name].columns or ([name] if values.shape[1] == 1 else []), values.T)
    return columns


def group_rows(column: str, values: np.ndarray) -> RowGroups:
    """Return the groups of rows with equal values. A column of many numbers gives four groups, quarters of the rows.

    Args:
        column: The name of the column.
        values: (rows,) of str or numbers.

    Raises:
        DataError: The column has too many different values that are not numbers.
    """
    values = np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values
    texts = np.array([str(value).strip() for value in values], object)
    numbers = as_numbers(texts)
    if numbers is not None:
        texts[np.isnan(numbers)] = MISSING
    texts[texts == ""] = MISSING
    found = len(np.unique(texts))
    if numbers is not None and found > MOST_NUMBERS:
        texts = name_quarters(numbers)
    elif found > MOST_NAMES:
        raise DataError(
            f"evaluation.groups: expected a column of at most {MOST_NAMES} different values; found {found:,} in "
            f"{column!r}. Choose a column with fewer values, or one of numbers, which are divided into quarters."
        )
    names, indices = np.unique(texts, return_inverse=True)
    return RowGroups(column=column, names=tuple(names.tolist()), indices=indices)


def as_numbers(texts: np.ndarray) -> np.ndarray | None:
    """Return texts as (rows,) float64, NaN for an empty text; None if a text is not a number."""
    try:
        return np.array([float(text or "nan") for text in texts])
    except ValueError:
        return None


def name_quarters(numbers: np.ndarray) -> np.ndarray:
    """Return the name of the quarter of the rows to which each number belongs: (rows,) of str."""
    edges = np.unique(np.nanquantile(numbers, [0.25, 0.5, 0.75], method="lower"))
    names = [
        f"up to {edges[0]:g}",
        *(f"above {low:g} to {high:g}" for low, high in itertools.pairwise(edges)),
        f"above {edges[-1]:g}",
    ]
    quarters = np.array(names, object)[np.searchsorted(edges, numbers)]
    return np.where(np.isnan(numbers), MISSING, quarters)


# ---- their scores ---------------------------------------------------------------------------------------------------


def score_groups(
    label: Label,
    groups: RowGroups,
    *,
    targets: np.ndarray,
    outputs: np.ndarray,
    decision: Decision | None = None,
    options: Evaluation,
    seed: int,
    weights: np.ndarray | None = None,
) -> GroupComparison:
    """Score each group, and the gap between the best and the worst.

    The best and the worst of several groups differ by chance too. The interval of the gap therefore holds for all pairs
    of groups at once. Its half width is a quantile over resamples of the range of the errors of all groups. The error
    of a group is its resampled score minus its score.

    Args:
        label: The label.
        groups: The groups of the rows.
        targets: As `metrics.evaluate_label` takes them.
        outputs: (rows, width) float64, checked.
        decision: The decision of the model.
        options: Number of resamples and confidence level.
        seed: The seed of the resamples.
        weights: (rows,), the weights of the rows; None: every row counts once. Rows of weight 0 are left out.
    """
    metric = score_of_groups(label)
    scores, errors = [], []
    for index, name in enumerate(groups.names):
        is_member = groups.indices == index
        rows = np.flatnonzero(is_member if weights is None else is_member & (weights > 0))
        if not len(rows):
            continue
        own = None if weights is None else weights[rows]
        score_of = score_function(metric, label, targets=targets[rows], outputs=outputs[rows], decision=decision)
        value = float(score_of(weighted(np.ones((len(rows), 1)), own))[0])
        resampled = resampled_scores(
            score_of, rows=len(rows), resamples=options.resamples, seed=(seed, index), weights=own
        )
        low, high = percentile_interval(resampled, options.confidence) if len(rows) > 1 else (np.nan, np.nan)
        scores.append(GroupScore(name=name, rows=len(rows), score=Score(value=value, low=low, high=high)))
        if scores[-1].is_compared:
            errors.append(resampled - value)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    scores.sort(key=lambda group: (not group.is_compared, sign * group.score.value))
    gap = None
    if len(errors) > 1:
        worst, best = scores[0].score.value, scores[len(errors) - 1].score.value
        reach = float(np.quantile(np.ptp(errors, axis=0), options.confidence))
        gap = Score(value=abs(best - worst), low=abs(best - worst) - reach, high=abs(best - worst) + reach)
    return GroupComparison(column=groups.column, metric=metric, groups=tuple(scores), gap=gap)


def groups_to_json(comparisons: Mapping[str, Sequence[GroupComparison]]) -> dict[str, Any]:
    """Return label -> column -> scores, as result.json holds them; None for an undefined score, interval or gap."""
    return {
        label: {
            comparison.column: {
                "metric": comparison.metric,
                "gap": comparison.gap and comparison.gap.to_json(),
                "groups": [
                    {"name": group.name, "rows": group.rows, "compared": group.is_compared, **group.score.to_json()}
                    for group in comparison.groups
                ],
            }
            for comparison in of_label
        }
        for label, of_label in comparisons.items()
        if of_label
    }
