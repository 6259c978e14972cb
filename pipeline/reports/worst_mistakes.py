"""The worst mistakes of an evaluation, with the inputs of the model: thumbnails of images, columns of tables."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from pipeline.data.containers import Images, Sequences, Table
from pipeline.evaluation.decisions import Decision, decide
from pipeline.evaluation.metrics import true_classes
from pipeline.reports.predictions_csv import as_texts, prediction_columns, target_columns
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL

if TYPE_CHECKING:
    from pipeline.data.containers import FeatureColumn, Split
    from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
    from pipeline.spec import DataSpec, Feature, Label

TEMPLATE = Path(__file__).with_suffix(".html.j2")
MOST = 12  # rows that are shown
MOST_COLUMNS = 12  # columns of a table that are shown
MOST_CHARACTERS = 80  # characters of a text that are shown
THUMBNAIL = 72  # pixels of the longer side
SMALLEST_IMAGE = 4  # pixels; smaller arrays are no images


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One row that was predicted wrongly.

    Attributes:
        id: The identity of the row in the data.
        target: The label, as text.
        prediction: The prediction, as text.
        size: The confidence of the wrong prediction, or the error of a real label.
        values: Column -> value, as text.
        image: A thumbnail as data URI; "" if there is none.
    """

    id: str
    target: str
    prediction: str
    size: float
    values: Mapping[str, str]
    image: str


def find_mistakes(
    name: str,
    spec: DataSpec,
    rows: Split,
    *,
    targets: np.ndarray,
    outputs: np.ndarray,
    decision: Decision | None = None,
) -> tuple[Mistake, ...]:
    """Return the worst mistakes, the worst first: wrong classes by confidence, real labels by absolute error.

    Args:
        name: The name of the label.
        spec: The spec of the data.
        rows: The evaluated rows.
        targets: Their labels, as `metrics.evaluate_label` takes them.
        outputs: (rows, width) float64, checked.
        decision: The decision of the label; None predicts the most probable class.
    """
    label = spec.labels[name]
    if label.kind in (CLASS, ONE_HOT) and label.shape not in ((), (label.width,)):
        return ()
    sizes = mistake_sizes(label, targets, outputs, decision)
    worst = np.argsort(-sizes, kind="stable")[:MOST]
    worst = worst[sizes[worst] > 0]
    predictions = prediction_columns(label, outputs[worst], decision)[: label.width if label.kind == REAL else 1]
    texts = [as_texts(column) for column in (*target_columns(label, targets[worst], outputs[worst]), *predictions)]
    half = len(texts) // 2
    shown, images = _described(spec, rows, worst)
    ids = rows.row_ids[worst]
    return tuple(
        Mistake(
            id=str(ids[position]),
            target=", ".join(column[position] for column in texts[:half]),
            prediction=", ".join(column[position] for column in texts[half:]),
            size=float(sizes[row]),
            values={column: _short(values[position]) for column, values in shown.items()},
            image=images[position] if images else "",
        )
        for position, row in enumerate(worst)
    )


def mistake_sizes(
    label: Label, targets: np.ndarray, outputs: np.ndarray, decision: Decision | None = None
) -> np.ndarray:
    """Return the size of the mistake in each row, as in `Mistake.size`: (rows,) float64; 0 for a correct prediction.

    Args:
        label: The label.
        targets: As `metrics.evaluate_label` takes them.
        outputs: (rows, width) float64.
        decision: As for `find_mistakes`.
    """
    if label.kind == REAL:
        return np.abs(outputs - targets.reshape(outputs.shape)).max(axis=1)
    predicted = decide(label, outputs, decision)
    if label.kind == MULTI_LABEL:
        truth = targets.reshape(outputs.shape) > 0.5
        return np.where(predicted != truth, np.abs(outputs - truth), 0).max(axis=1)
    confidence = np.take_along_axis(outputs, predicted[:, np.newaxis], axis=1)[:, 0]
    return np.where(predicted != true_classes(label, targets), confidence, 0)


def render(evaluation: LabelEvaluation | ScoresOnly) -> Markup:
    """Return the worst mistakes of an evaluation as HTML; nothing if it has none."""
    mistakes = getattr(evaluation, "mistakes", ())
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return Markup(template.render(evaluation=evaluation, mistakes=mistakes)) if mistakes else Markup()


# ---- the inputs of the model ----------------------------------------------------------------------------------------


def _described(spec: DataSpec, rows: Split, chosen: np.ndarray) -> tuple[dict[str, list[str]], list[str]]:
    """Return column -> the values of the chosen rows as text, and the thumbnails of the rows; [] without images."""
    values: dict[str, list[str]] = {}
    images: list[str] = []
    if not isinstance(rows, Table):  # rows of shards cannot be fetched by index
        return values, images
    for name, column in rows.select(chosen).features.items():
        if _is_image(column, spec.features[name]):
            images = images or list(map(_thumbnail, _pixels(column)))
        elif isinstance(column, np.ndarray) and column.ndim == 2:
            names = spec.features[name].columns or _numbered(name, column.shape[1])
            values |= {title: _as_texts(column[:, index]) for index, title in enumerate(names[:MOST_COLUMNS])}
    return dict(list(values.items())[:MOST_COLUMNS]), images


def _numbered(name: str, width: int) -> tuple[str, ...]:
    return (name,) if width == 1 else tuple(f"{name}[{index}]" for index in range(width))


def _as_texts(column: np.ndarray) -> list[str]:
    return list(map(str, column.tolist())) if column.dtype == object else [f"{value:.6g}" for value in column]


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def _is_image(column: FeatureColumn, feature: Feature) -> TypeGuard[Images | np.ndarray]:
    """Return whether a feature is shown as an image: files, or arrays (height, width) or (height, width, channels)."""
    if isinstance(column, Images):
        return True
    shape = feature.shape
    is_grid = (len(shape) == 3 and shape[-1] in (1, 3)) or (len(shape) == 2 and feature.dtype == "uint8")
    return not isinstance(column, Sequences) and is_grid and min(feature.fixed_shape[:2]) >= SMALLEST_IMAGE


def _pixels(column: Images | np.ndarray) -> Iterator[np.ndarray]:
    """Yield the pixels of each row as uint8. Arrays are shown from their smallest value to their largest."""
    for row in range(len(column)):
        values = column.pixels(row) if isinstance(column, Images) else column[row]
        if isinstance(column, np.ndarray) or values.dtype != np.uint8:
            values = values.astype(np.float64) - values.min()
            values = (values * (255 / max(values.max(), 1e-12))).astype(np.uint8)
        yield values


def _thumbnail(pixels: np.ndarray) -> str:
    """Return an image as the data URI of a small PNG."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    scale = THUMBNAIL / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX)
    content = io.BytesIO()
    image.save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
