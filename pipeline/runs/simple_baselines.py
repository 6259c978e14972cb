"""The file with the simple models of a run: later evaluations compare with the same ones."""

from pathlib import Path

from pipeline.errors import RunError
from pipeline.evaluation.simple_models import SimpleModels, simple_models_from_json
from pipeline.runs import folder as run_folder
from pipeline.spec import DataSpec

FILE = "baselines.json"


def write(folder: Path, models: SimpleModels) -> None:
    """Write the simple models of a run to its folder.

    Raises:
        OSError: The file cannot be written.
    """
    run_folder.write(folder, FILE, models.to_json())


def read(folder: Path, spec: DataSpec) -> SimpleModels | None:
    """Return the simple models of a run; None if an earlier version trained it, or if it predicts no labels.

    Args:
        folder: The run folder.
        spec: The spec of the data of the run.

    Raises:
        RunError: The file is damaged, or is that of another run. Without it, a run is evaluated without them.
    """
    if not (folder / FILE).exists():
        return None
    models = run_folder.read_as(folder, FILE, simple_models_from_json)
    widths = {name: label.width for name, label in spec.labels.items()}
    found = {name: len(values) for name, values in models.constants.items()}
    linear = {name: len(model.bias) for name, model in models.linear.items()}
    if found != widths or not linear.items() <= widths.items():
        raise RunError(
            f"{folder / FILE}: expected simple models of {widths} outputs; found {found}. Restore the file, or delete "
            "it to evaluate without them."
        )
    return models
