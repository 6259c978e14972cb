"""Add comparisons to the evaluations of a model: with simple models, and between groups of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline.data.containers import Split
from pipeline.evaluation.baseline_comparison import baselines_to_json, compare_with_simple_models, simple_outputs
from pipeline.evaluation.group_scores import RowGroups, groups_to_json, score_groups
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.simple_models import SimpleModels
from pipeline.spec import DataSpec

Evaluations = Sequence[LabelEvaluation | ScoresOnly]


def with_comparisons(
    evaluations: Evaluations,
    spec: DataSpec,
    rows: Split,
    *,
    models: SimpleModels | None,
    groups: Sequence[RowGroups],
    options: Evaluation,
    seed: int,
) -> list[LabelEvaluation | ScoresOnly]:
    """Return the evaluations with comparisons to simple models and between groups of rows.

    Args:
        evaluations: The evaluations of the model. Those that are no LabelEvaluation stay unchanged.
        spec: The spec of the data.
        rows: The rows that were evaluated.
        models: The simple models of the run; None if it has none.
        groups: The groups of the rows.
        options: Number of resamples and confidence level.
        seed: The seed of the resamples.
    """
    simple = simple_outputs(spec, models, rows) if models else {}

    def compared(evaluation: LabelEvaluation) -> LabelEvaluation:
        label, targets, outputs = evaluation.label, evaluation.targets, evaluation.outputs
        if targets is None or outputs is None:
            return evaluation
        return replace(
            evaluation,
            baselines=compare_with_simple_models(
                evaluation.name,
                label,
                targets=targets,
                outputs=outputs,
                simple=simple.get(evaluation.name, {}),
                decision=evaluation.decision,
                options=options,
                seed=seed,
                weights=evaluation.weights,
            ),
            groups=tuple(
                score_groups(
                    label,
                    of_column,
                    targets=targets,
                    outputs=outputs,
                    decision=evaluation.decision,
                    options=options,
                    seed=seed,
                    weights=evaluation.weights,
                )
                for of_column in groups
            ),
        )

    return [
        compared(evaluation) if isinstance(evaluation, LabelEvaluation) else evaluation for evaluation in evaluations
    ]


def comparisons_to_json(evaluations: Evaluations) -> dict[str, Any]:
    """Return the comparisons as entries of result.json."""
    labels = [evaluation for evaluation in evaluations if isinstance(evaluation, LabelEvaluation)]
    return {
        "baselines": baselines_to_json({evaluation.name: evaluation.baselines for evaluation in labels}),
        "groups": groups_to_json({evaluation.name: evaluation.groups for evaluation in labels}),
    }
