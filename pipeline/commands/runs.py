"""`runs`: what has been trained, a line a run; two runs side by side; or all of them on one page."""

import json
import logging
from collections import defaultdict
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ConfigError, ExitStatus, RegistryError, RunError, nearest
from pipeline.registry import journal, queries, store
from pipeline.reports import run_comparison, runs_page
from pipeline.reports.formatting import align_columns, format_number
from pipeline.runs import folder as run_folder
from pipeline.runs import ingestion

logger = logging.getLogger(__name__)

COLUMNS = ("run", "status", "started", "data", "model", "epochs", "scores", "weights")
SCORES = ("accuracy", "macro_f1", "r2")  # the first that a label has is shown
SORTED = ("name", "status", "started", "seconds", "data", "model", "epochs", "seed", "parameters")


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Print the table of runs, two runs compared, or the path of the page."""
    match invocation.action:
        case ("compare", first, second):
            return compare(config, first, second, invocation.as_json)
        case ("page",):
            return write_page(config)
    known = rows(config)
    found = chosen(config.runs, known)
    if invocation.as_json:
        print(json.dumps(found, indent=1))
    elif found:
        print("\n".join(align_columns([COLUMNS, *(cells(row) for row in found)])))
    elif known:
        print(f"None of the {len(known):,} runs is as runs.name, status, data and model ask.")
    else:
        print(f"No runs under {config.run.root}/ yet. `make train` makes the first.")
    return ExitStatus.DONE


# ---- the list -------------------------------------------------------------------------------------------------------


def rows(config):
    """Every run that the registry or a folder under run.root knows of, as queries.list_runs gives them.

    A folder's run is told by the id in its journal: its path is another one once it was moved, or in a container.
    """
    known = {row["uuid"]: row for row in recorded(config)}
    folders = defaultdict(list)
    for folder in sorted(path.parent for path in Path(config.run.root).glob("*/result.json")):
        folders[run_id(folder)].append(folder)
    for uuid in known.keys() & folders.keys():
        row = known[uuid]
        # of copies, the one where the run was made, else the one of its name
        home = min(folders[uuid], key=lambda each: (str(each.absolute()) != row["folder"], each.name != row["name"]))
        folders[uuid].remove(home)
        row |= {"name": home.name, "folder": str(home.absolute())}
        if row["status"] == run_folder.RUNNING:  # its process may be gone
            row["status"] = status(home)
    return [*(from_folder(folder) for others in folders.values() for folder in others), *known.values()]


def run_id(folder):
    """The id of a folder's run; None where it has none, or may not be read."""
    try:
        return journal.read_run_id(folder / journal.FILE_NAME)
    except OSError:
        return None


def recorded(config):
    """The runs in the registry; none, with a warning, where it cannot be asked."""
    root = Path(config.run.root)
    missing = config.registry.url is None and not (root / "registry.db").exists()
    if config.registry.url == "none" or (missing and not journal.find_journals(root)):
        return []  # a list of nothing makes no database
    try:
        with store.open_registry(config.registry, config.run.root) as engine:
            ingestion.ingest_with_warnings(engine, config.run.root)
            with store.connect_read_only(engine) as connection:
                return queries.list_runs(connection)
    except RegistryError as error:
        logger.warning("registry: %s Only the runs under %s/ are listed.", error, config.run.root)
        return []


def from_folder(folder):
    """The row of a run that the registry does not know; a damaged one is shown as such and hides no other."""
    row = dict.fromkeys(column.key for column in queries.RUN_COLUMNS) | {"name": folder.name, "folder": str(folder)}
    try:
        result = run_folder.read(folder, "result.json")
        scores = {
            label: {name: score["value"] for name, score in found.items()}
            for label, found in result.get("metrics", {}).items()
        }
        known = {key: result[key] for key in ("epochs", "weights_digest", "fingerprint", "seconds") if key in result}
        return row | known | {"status": run_folder.status(folder), "started": result["started"], "scores": scores}
    except (RunError, OSError, KeyError, TypeError, AttributeError):
        return row | {"status": "damaged", "scores": {}}


def status(folder):
    try:
        return run_folder.status(folder)
    except (RunError, OSError, KeyError, TypeError):
        return "damaged"


def chosen(wanted, found):
    """The rows that a config.RunsTable asks for, in its order."""
    equal = {key: getattr(wanted, key) for key in ("status", "data", "model") if getattr(wanted, key)}
    found = [
        row
        for row in found
        if fnmatchcase(row["name"], wanted.name or "*") and all(row[key] == value for key, value in equal.items())
    ]
    column = wanted.sort.removeprefix("-")
    metrics = {metric for row in found for scores in row["scores"].values() for metric in scores}
    if column not in SORTED and column not in metrics and found:
        raise ConfigError(f"runs.sort: there is no column {column!r}. {nearest(column, {*SORTED, *metrics})}")
    there = [row for row in found if value(row, column) is not None]
    missing = [row for row in found if value(row, column) is None]
    there.sort(key=lambda row: value(row, column), reverse=wanted.sort.startswith("-"))
    return [*there, *missing][: wanted.limit or None]


def value(row, column):
    """A row's value in a column, or the first label's score of that name."""
    if column in SORTED:
        return row[column]
    return next((scores[column] for scores in row["scores"].values() if column in scores), None)


def cells(row):
    scores = [
        f"{label} {name} {format_number(found[name])}"
        for label, found in row["scores"].items()
        for name in [next((name for name in SCORES if found.get(name) is not None), None)]
        if name
    ]
    started = (row["started"] or "")[:19]
    shown = (row["name"], row["status"], started, row["data"], row["model"], row["epochs"])
    return [
        *("" if cell is None else str(cell) for cell in shown),
        ", ".join(scores),
        (row["weights_digest"] or "")[:12],
    ]


# ---- two runs -------------------------------------------------------------------------------------------------------


def compare(config: Config, first: str, second: str, as_json: bool) -> ExitStatus:
    """Print what differs between two runs, section by section."""
    with store.open_registry(config.registry, config.run.root) as engine:
        ingestion.ingest_with_warnings(engine, config.run.root)
        with store.connect_read_only(engine) as connection:
            one, other = (queries.read_provenance(connection, name) for name in (first, second))
    if as_json:
        print(json.dumps(run_comparison.find_differences(one, other)))
    else:
        print(run_comparison.comparison_table((first, second), one, other))
    return ExitStatus.DONE


# ---- the page -------------------------------------------------------------------------------------------------------


def write_page(config):
    path = Path(config.run.root) / "registry.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    found = chosen(config.runs, rows(config))
    runs_page.write_runs_page(path, found, f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    print(f"{path}: {len(found):,} run{'' if len(found) == 1 else 's'}")
    return ExitStatus.DONE
