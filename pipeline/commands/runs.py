"""`runs`: what lies under run.root, a line a run."""

from pipeline.errors import RunError
from pipeline.runtime import run_folder

COLUMNS = ("run", "status", "started", "epochs", "scores", "weights")
SCORES = ("accuracy", "macro_f1", "r2")  # the first that a label has is shown


def run(config, config_yaml, command_line):
    """Print the table of runs. Returns the exit status."""
    folders = run_folder.list_runs(config.run.root)
    if not folders:
        print(f"No runs under {config.run.root}/ yet. `make train` makes the first.")
        return 0
    rows = [COLUMNS, *(row(folder) for folder in folders)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    return 0


def row(folder):
    """The cells of one run; a damaged one is shown as such and hides no other."""
    try:
        result = run_folder.read(folder, "result.json")
        scores = [
            f"{label} {name} {found[name]['value']:.4f}"
            for label, found in result.get("metrics", {}).items()
            for name in [next((name for name in SCORES if name in found), None)]
            if name
        ]
        cells = (run_folder.status(folder), result["started"][:19], str(result.get("epochs", "")), ", ".join(scores))
        return folder.name, *cells, result.get("weights_digest", "")[:12]
    except (RunError, KeyError, TypeError, AttributeError):
        return folder.name, "damaged", "", "", "", ""
