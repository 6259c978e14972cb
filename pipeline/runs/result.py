"""Write the result.json of the run that this process trains."""

from pathlib import Path
from typing import Any

from pipeline.runs import folder as run_folder


class Result:
    """The content of result.json. The file is written again after every change.

    Args:
        folder: The run folder.
        values: The initial content.
    """

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        self.folder = folder
        self.values = values
        run_folder.write(folder, "result.json", values)

    def update(self, **changes: Any) -> None:
        """Change some values and write the file.

        Raises:
            OSError: The file cannot be written. The values in memory have changed.
        """
        self.values |= changes
        run_folder.write(self.folder, "result.json", self.values)
