"""`runs`: list all runs, compare two of them, or write one page of all."""

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pipeline import stored_config
from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ConfigError, ExitStatus, RegistryError, RunError, nearest
from pipeline.registry import journal, queries, store
from pipeline.reports import run_comparison, runs_page
from pipeline.reports.formatting import align_columns, format_number
from pipeline.runs import folder as run_folder
from pipeline.runs import ingestion, trained_rows
from pipeline.runs.options import RunsTable

logger = logging.getLogger(__name__)

COLUMNS = ("run", "status", "started", "data", "model", "epochs", "scores", "weights")
SCORES = ("accuracy", "macro_f1", "r2")  # the list of runs shows the first of these that a label has
SORT_COLUMNS = ("name", "status", "started", "seconds", "data", "model", "epochs", "seed", "parameters")
DAMAGED = "damaged"  # status of a run whose files cannot be read

RunRow = dict[str, Any]
"""One run, as `registry.queries.list_runs` returns it."""


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Print the table of runs, the comparison of two, or the path of the page.

    Raises:
        ConfigError: There is no such column to sort by.
        RunError: A run to compare does not exist.
        RegistryError: The registry does not answer, for a comparison.
    """
    match invocation.action:
        case ("compare", first, second):
            compare(config, first, second, as_json=invocation.as_json)
        case ("page",):
            write_page(config)
        case _:
            list_runs(config, as_json=invocation.as_json)
    return ExitStatus.DONE


def list_runs(config: Config, *, as_json: bool) -> None:
    """Print the runs that match the filters."""
    runs = read_runs(config)
    matching = filter_and_sort(config.runs, runs)
    if as_json:
        print(json.dumps(matching, indent=1))
    elif matching:
        print("\n".join(align_columns([COLUMNS, *map(cells, matching)])))
    elif runs:
        print(f"None of the {len(runs):,} runs matches runs.name, runs.status, runs.data and runs.model.")
    else:
        print(f"No runs under {config.run.root}/ yet. `make train` starts the first.")


# ---- the list -------------------------------------------------------------------------------------------------------


def read_runs(config: Config) -> list[RunRow]:
    """Return every run in the registry or under run.root.

    A folder is matched with its entry in the registry by the ID in its journal, since its path may have changed: it may
    have been moved, or be mounted in a container.
    """
    recorded = {run["uuid"]: run for run in read_recorded_runs(config)}
    folders = defaultdict(list)
    for folder in sorted(path.parent for path in Path(config.run.root).glob("*/result.json")):
        folders[journal.read_run_id(folder / journal.FILE_NAME)].append(folder)
    for uuid in recorded.keys() & folders.keys():
        run = recorded[uuid]
        # of several copies, the original folder, else the one with the original name
        home = min(folders[uuid], key=lambda each: (str(each.absolute()) != run["folder"], each.name != run["name"]))
        folders[uuid].remove(home)
        run |= {"name": home.name, "folder": str(home.absolute())}
        if run["status"] == run_folder.RUNNING:  # its process may have ended
            run["status"] = read_status(home)
    unrecorded = [read_run(folder) for copies in folders.values() for folder in copies]
    return [*unrecorded, *recorded.values()]


def read_recorded_runs(config: Config) -> list[RunRow]:
    """Return the runs in the registry; none, with a warning, if it does not answer."""
    root = Path(config.run.root)
    missing = config.registry.url is None and not (root / "registry.db").exists()
    if config.registry.url == "none" or (missing and not journal.find_journals(root)):
        return []  # without creating a database
    try:
        with store.open_registry(config.registry, config.run.root) as engine:
            ingestion.ingest_with_warnings(engine, config.run.root)
            with store.connect_read_only(engine) as connection:
                return queries.list_runs(connection)
    except RegistryError as error:
        logger.warning("registry: %s Only the runs under %s/ are listed.", error, config.run.root)
        return []


def read_run(folder: Path) -> RunRow:
    """Return the run in a folder that is not in the registry; its status is DAMAGED if it cannot be read."""
    row = dict.fromkeys(column.key for column in queries.RUN_COLUMNS) | {"name": folder.name, "folder": str(folder)}
    try:
        result = run_folder.read(folder, "result.json")
        scores = {
            label: {name: score["value"] for name, score in metrics.items()}
            for label, metrics in result.get("metrics", {}).items()
        }
        known = {key: result[key] for key in ("epochs", "weights_digest", "fingerprint", "seconds") if key in result}
        return row | known | {"status": run_folder.status(folder), "started": result["started"], "scores": scores}
    except (RunError, OSError, KeyError, TypeError, AttributeError):
        return row | {"status": DAMAGED, "scores": {}}


def read_status(folder: Path) -> str:
    """Return the status of the run in a folder, which is DAMAGED if it cannot be read."""
    try:
        return run_folder.status(folder)
    except (RunError, OSError, KeyError, TypeError):
        return DAMAGED


def filter_and_sort(options: RunsTable, runs: Sequence[RunRow]) -> list[RunRow]:
    """Return the runs that match the filters, sorted; those without a value in the sort column come last.

    Raises:
        ConfigError: There is no such column.
    """
    equal = {key: getattr(options, key) for key in ("status", "data", "model") if getattr(options, key)}
    matching = [
        run
        for run in runs
        if fnmatchcase(run["name"], options.name or "*") and all(run[key] == value for key, value in equal.items())
    ]
    column = options.sort.removeprefix("-")
    metrics = {metric for run in matching for scores in run["scores"].values() for metric in scores}
    if column not in SORT_COLUMNS and column not in metrics and matching:
        raise ConfigError(f"runs.sort: there is no column {column!r}. {nearest(column, {*SORT_COLUMNS, *metrics})}")
    with_value = [run for run in matching if sort_value(run, column) is not None]
    without_value = [run for run in matching if sort_value(run, column) is None]
    with_value.sort(key=lambda run: sort_value(run, column), reverse=options.sort.startswith("-"))
    return [*with_value, *without_value][: options.limit or None]


def sort_value(run: RunRow, column: str) -> Any:
    """Return the value of a run in a column, or the score of that name of the first label that has it."""
    if column in SORT_COLUMNS:
        return run[column]
    return next((scores[column] for scores in run["scores"].values() if column in scores), None)


def cells(run: RunRow) -> tuple[str, ...]:
    """Return the line of a run in the table, one text per column."""
    scores = [
        f"{label} {name} {format_number(metrics[name])}"
        for label, metrics in run["scores"].items()
        for name in [name for name in SCORES if metrics.get(name) is not None][:1]
    ]
    values = (run["name"], run["status"], (run["started"] or "")[:19], run["data"], run["model"], run["epochs"])
    texts = ["" if value is None else str(value) for value in values]
    return (*texts, ", ".join(scores), (run["weights_digest"] or "")[:12])


# ---- two runs -------------------------------------------------------------------------------------------------------


def compare(config: Config, first: str, second: str, *, as_json: bool) -> None:
    """Print the differences of two runs by section.

    Raises:
        RunError: There is no such run.
        RegistryError: The registry does not answer.
    """
    with store.open_registry(config.registry, config.run.root) as engine:
        ingestion.ingest_with_warnings(engine, config.run.root)
        with store.connect_read_only(engine) as connection:
            one, other = (queries.read_provenance(connection, name) for name in (first, second))
    if as_json:
        print(json.dumps(run_comparison.find_differences(one, other)))
    else:
        print(run_comparison.comparison_table((first, second), one, other))
        for tested, trained in ((first, second), (second, first)):
            print(describe_shared_rows(Path(config.run.root), tested, trained))


def describe_shared_rows(root: Path, tested: str, trained: str) -> str:
    """Return a sentence on how many test rows of one run another run was trained on.

    Raises:
        RunError: A file of a run is damaged.
    """
    shared = trained_rows.count_shared(root / tested, root / trained)
    if shared is None:
        return (
            f"Whether {trained} was trained on test rows of {tested} is unknown: one of them keeps no digests of rows."
        )
    count, total = shared
    if not count:
        return f"{trained} was trained on none of the {total:,} test rows of {tested}."
    data = stored_config.read(root / tested / "config.yaml").data
    command = f"python -m pipeline drift run.name={tested} drift.against={trained} drift.split=test"
    return (
        f"{trained} was trained on {count:,} of the {total:,} test rows of {tested}. To compare both on the others: "
        f"{' '.join([command, *stored_config.path_arguments(data)])}"
    )


# ---- the page -------------------------------------------------------------------------------------------------------


def write_page(config: Config) -> None:
    """Write registry.html, a page of the runs that match the filters, and print its path."""
    path = Path(config.run.root) / "registry.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = filter_and_sort(config.runs, read_runs(config))
    runs_page.write_runs_page(path, runs, f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    print(f"{path}: {len(runs):,} run{'' if len(runs) == 1 else 's'}")
