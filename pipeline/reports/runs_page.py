"""registry.html: every run on one page that opens offline."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.reports.html_page import write_html_page

TEMPLATE = Path(__file__).with_suffix(".html.j2")
COLUMNS_BEFORE_SCORES = ("name", "status", "started", "data", "model")
COLUMNS_AFTER_SCORES = ("training", "seed", "epochs", "seconds", "parameters", "git_commit", "lock", "architecture",
                        "host", "drifted")  # fmt: skip
COLUMNS = COLUMNS_BEFORE_SCORES + COLUMNS_AFTER_SCORES


def write_runs_page(path: Path, runs: Sequence[dict[str, Any]], time: str) -> None:
    """Write the page.

    Args:
        path: The page.
        runs: The runs, as `registry.queries.list_runs` returns them.
        time: When the page is written, as text.
    """
    metrics = sorted({(label, metric) for run in runs for label, scores in run["scores"].items() for metric in scores})
    scores = {
        f"{label} {metric}": [round_score(run["scores"].get(label, {}).get(metric)) for run in runs]
        for label, metric in metrics
    }
    columns = {name: index_values([run[name] for run in runs]) for name in COLUMNS} | scores
    names = [*COLUMNS_BEFORE_SCORES, *scores, *COLUMNS_AFTER_SCORES]
    content = {"names": names, "metrics": list(scores), "values": [columns[name] for name in names]}
    values = {"time": time, "count": len(runs), "content": script_json(content)}
    write_html_page(path, TEMPLATE, filters={}, values=values)


def round_score(value: float | None) -> float | None:
    """Round a score to six digits, one more than the page shows."""
    return None if value is None else float(f"{value:.6g}")


def index_values(values: list[Any]) -> list[Any] | dict[str, list[Any]]:
    """Return a column as its distinct values and the index of each row's value, if few of its values are distinct.

    A column of digests takes a fraction of the space this way.
    """
    distinct = {value: index for index, value in enumerate(dict.fromkeys(values))}
    if 2 * len(distinct) > len(values):
        return values
    return {"distinct": list(distinct), "indices": [distinct[value] for value in values]}


def script_json(content: Any) -> str:
    """Return JSON that is safe inside a script element, whatever text is in it."""
    text = json.dumps(content, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
