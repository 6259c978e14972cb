"""`predict`: predict rows without labels with the model of a stored run."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import keras

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data import unlabeled
from pipeline.data.containers import Table
from pipeline.data.fingerprint import StreamFingerprint
from pipeline.data.options import STANDARD_INPUT
from pipeline.errors import ConfigError, DataError, ExitStatus
from pipeline.evaluation import calibrators, decisions
from pipeline.files import atomic_write, sha256
from pipeline.quantile_objects import QuantileLoss
from pipeline.reports import prediction_file, predictions_csv
from pipeline.reports.prediction_file import STANDARD_OUTPUT
from pipeline.runs import folder as run_folder
from pipeline.runs import saved_model
from pipeline.runtime import determinism, devices, environment, streams
from pipeline.spec import DataSpec
from pipeline.training.model_inputs import check_padding, check_tokens, known_categories
from pipeline.training.prediction import Predictor

logger = logging.getLogger(__name__)


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Predict every row of `config.data` in order. Write the predictions, and a side file with their provenance.

    Rows are read, predicted and written table by table, so that memory does not limit their number.

    Raises:
        RunError: The run is not finished, or its files are damaged.
        ConfigError: The model of the run predicts no labels, or the output would replace the data.
        DataError: The data cannot be read, or a row breaks the rules of the training.
    """
    environment.require_lock(config.environment.allow_drift)
    assert config.run.name is not None
    folder = run_folder.find(config.run.root, config.run.name)
    trained = run_folder.read_finished(folder)
    if not config.objective.predicts_labels:
        raise ConfigError(
            f"run.name={folder.name}: expected a run whose model predicts labels; found "
            f"objective={config.objective.choice}. Load its model.keras in a program of your own."
        )
    calibrators.check_command(calibrators.of_run(trained), config.evaluation)
    output = output_path(config, folder)
    spec = run_folder.read_spec(folder)
    devices.select(config.device, config.hardware)
    determinism.prepare(config.determinism, seed=config.seed, threads=config.hardware.threads)
    chosen = decisions.of_command(decisions.of_run(trained), spec, config.evaluation)
    model = saved_model.load(folder / "model.keras")
    check_padding(spec, model, folder)
    losses = config.objective.label_losses(spec)
    predictor = Predictor(model, spec, losses, config.training.batch_size)
    fingerprint, progress = StreamFingerprint(), Progress()
    names = column_names(spec, losses)
    tables = unlabeled.read(
        config.data,
        spec,
        known=known_categories(spec, model),
        rows=unlabeled.rows_per_table(spec, config.training.batch_size),
    )
    with closed_pipe_as_error(progress), prediction_file.open_writer(output, names) as writer:
        for table in read_ahead(tables):
            check_tokens(config, spec, table)
            fingerprint.add(table)
            probabilities, quantiles = predictor.predict(table)
            columns = [
                column
                for name, label in spec.labels.items()
                for column in predictions_csv.prediction_columns(label, probabilities[name], chosen.get(name))
                + predictions_csv.quantile_columns(quantiles.get(name))
            ]
            writer.write([table.row_ids, *columns])
            progress.add(len(table))
    progress.end()
    record = {
        "run": folder.name,
        "model": sha256(folder / "model.keras"),
        "weights_digest": trained["weights_digest"],
        "data": config.data.choice,
        "path": getattr(config.data, "path", None),
        "fingerprint": fingerprint.hexdigest(),
        "rows": progress.rows,
        "columns": names,
        "decisions": decisions.to_json(chosen),
        "pipeline_version": environment.project_version(),
        "git": environment.revision(),
    }
    logger.info("predict: %s rows, fingerprint %s", f"{progress.rows:,}", record["fingerprint"])
    if output != STANDARD_OUTPUT:
        with atomic_write(Path(f"{output}.json")) as file:
            file.write(json.dumps(record, indent=1).encode() + b"\n")
        print(f"predictions   {output}\nside file     {output}.json")
    return ExitStatus.DONE


def output_path(config: Config, folder: Path) -> str:
    """Return the file that the predictions are written to, or STANDARD_OUTPUT.

    Raises:
        ConfigError: The path is that of the data, or of a folder.
    """
    source = str(getattr(config.data, "path", "")) or config.data.choice
    if not config.predict.output:
        name = "standard-input" if source == STANDARD_INPUT else Path(source).stem
        return str(folder / "predictions" / f"{name}.csv")
    path = Path(config.predict.output)
    if path.is_dir():
        raise ConfigError(f"predict.output: expected a file; found the folder {path}. Add a name: {path}/NAME.csv.")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise ConfigError(
            f"predict.output: expected a file other than the data, since it is replaced; found {path}. Choose "
            "another name."
        )
    return config.predict.output


def column_names(spec: DataSpec, losses: Mapping[str, keras.losses.Loss]) -> list[str]:
    """Return the names of the columns: `id`, then those of each label, prefixed by "LABEL." if there are several.

    Args:
        spec: The spec of the training data.
        losses: By label. They define whether quantiles are predicted.
    """
    levels = {name: loss.quantiles for name, loss in losses.items() if isinstance(loss, QuantileLoss)}
    prefixes = {name: f"{name}." if len(spec.labels) > 1 else "" for name in spec.labels}
    return ["id"] + [
        prefixes[name] + column
        for name, label in spec.labels.items()
        for column in predictions_csv.prediction_names(label)
        + (predictions_csv.quantile_names(label, levels[name]) if name in levels else [])
    ]


def read_ahead(tables: Iterator[Table]) -> Iterator[Table]:
    """Yield tables while a thread reads the next one."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, tables, None)
        while (table := following.result()) is not None:
            following = reader.submit(next, tables, None)
            yield table


@contextmanager
def closed_pipe_as_error(progress: "Progress") -> Iterator[None]:
    """Raise a DataError if the reader of standard output ends too early, as `head` does."""
    try:
        yield
    except BrokenPipeError:
        streams.discard(sys.stdout)  # Python flushes it when it exits
        raise DataError(
            f"predict.output=-: expected standard output to stay open until the last row; found it closed after "
            f"{progress.rows:,} rows. Write a file instead: predict.output=FILE."
        ) from None


class Progress:
    """Counts rows, and shows them and their rate on stderr if it is a terminal."""

    def __init__(self) -> None:
        self.rows = 0
        self._start = time.monotonic()

    def add(self, rows: int) -> None:
        """Count further rows."""
        self.rows += rows
        if sys.stderr.isatty():
            rate = self.rows / max(time.monotonic() - self._start, 1e-9)
            print(f"\r{self.rows:,} rows, {rate:,.0f} rows/s ", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """End the line on stderr."""
        if sys.stderr.isatty():
            print(file=sys.stderr)
