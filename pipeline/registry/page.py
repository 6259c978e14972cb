"""registry.html: every run on one page that opens anywhere, offline."""

import json
from pathlib import Path

import jinja2

from pipeline.files import whole_file

TEMPLATE = Path(__file__).with_name("page.html.j2")
SHOWN = ("name", "status", "started", "data", "model", "training", "seed", "epochs", "seconds", "parameters")
SHOWN = (*SHOWN, "git_commit", "lock", "architecture", "host", "drifted")


def write(path, runs, made):
    """Write the page. runs: as queries.runs gives them. made: when, as text. The file is there whole or not at all."""
    metrics = sorted({(label, metric) for row in runs for label, scores in row["scores"].items() for metric in scores})
    content = {
        "columns": SHOWN,
        "metrics": [" ".join(pair) for pair in metrics],
        "rows": [
            [*(row[key] for key in SHOWN), [row["scores"].get(label, {}).get(metric) for label, metric in metrics]]
            for row in runs
        ],
    }
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = environment.from_string(TEMPLATE.read_text()).render(made=made, count=len(runs), content=embedded(content))
    with whole_file(path) as file:
        file.write(text.encode("utf-8", "replace"))


def embedded(content):
    """JSON that can stand inside a script element, whatever words are in it."""
    text = json.dumps(content, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
