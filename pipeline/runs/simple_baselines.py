"""The file with the simple models of a run: later evaluations compare with the same ones."""

from pathlib import Path

from pipeline.errors import RunError
from pipeline.evaluation.simple_models import SimpleModels, simple_models_from_json
from pipeline.runs import folder as run_folder

FILE = "baselines.json"


def write(folder: Path, models: SimpleModels) -> None:
    """Write the simple models of a run to its folder.

    Raises:
        OSError: The file cannot be written.
    """
    run_folder.write(folder, FILE, models.to_json())


def read(folder: Path) -> SimpleModels | None:
    """Return the simple models of a run; None if an earlier version trained it, or if it predicts no labels.

    Raises:
        RunError: The file is damaged.
    """
    if not (folder / FILE).exists():
        return None
    try:
        return simple_models_from_json(run_folder.read(folder, FILE))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{folder / FILE}: expected the simple models of a run; found {error!r}. Restore the file, or delete it to "
            "evaluate without them."
        ) from None
