"""registry.html: every run on one page that opens anywhere, offline."""

import json
from pathlib import Path

import jinja2

from pipeline.files import atomic_write

TEMPLATE = Path(__file__).with_suffix(".html.j2")
COLUMNS = ("name", "status", "started", "data", "model", "training", "seed", "epochs", "seconds", "parameters")
COLUMNS = (*COLUMNS, "git_commit", "lock", "architecture", "host", "drifted")
BEFORE_SCORES = 5  # columns; the rest comes after the scores


def write_runs_page(path, runs, made):
    """Write the page. runs: rows of queries.list_runs. made: when, as text. The file is there whole or not at all."""
    metrics = sorted({(label, metric) for row in runs for label, scores in row["scores"].items() for metric in scores})
    known = {key: told_once([row[key] for row in runs]) for key in COLUMNS}
    scores = {
        f"{label} {metric}": [short(row["scores"].get(label, {}).get(metric)) for row in runs]
        for label, metric in metrics
    }
    names = [*COLUMNS[:BEFORE_SCORES], *scores, *COLUMNS[BEFORE_SCORES:]]
    content = {"names": names, "metrics": list(scores), "values": [(known | scores)[name] for name in names]}
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = environment.from_string(TEMPLATE.read_text()).render(made=made, count=len(runs), content=embedded(content))
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


def short(value):
    """A score in six digits, one more than the page shows."""
    return None if value is None else float(f"{value:.6g}")


def told_once(values):
    """A column as its distinct values and each row's place among them, where they are few: digests are long."""
    distinct = {value: place for place, value in enumerate(dict.fromkeys(values))}
    if 2 * len(distinct) > len(values):
        return values
    return {"distinct": list(distinct), "places": [distinct[value] for value in values]}


def embedded(content):
    """JSON that can stand inside a script element, whatever words are in it."""
    text = json.dumps(content, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
