"""The description of a run: the files that are written before the first training step."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.files import atomic_write
from pipeline.runs import folder as run_folder


@dataclass(frozen=True, kw_only=True)
class Description:
    """Describes a run before its first step. Each field except the last three is a file in the run folder.

    Attributes:
        config: The text of config.yaml.
        environment: The environment record, environment.json.
        architecture: The model in Keras's serialised form, architecture.json.
        summary: The text of `model.summary()`, summary.txt.
        spec: The data specification, spec.json.
        profile: The histograms of the training columns, profile.json; None in older runs without one.
        fingerprint: sha256 of the data.
        rows: Split -> number of rows.
        parameters: The number of parameters of the model.
    """

    config: str
    environment: dict[str, Any]
    architecture: dict[str, Any]
    summary: str
    spec: dict[str, Any]
    profile: dict[str, Any] | None
    fingerprint: str
    rows: dict[str, int]
    parameters: int

    def write(self, folder: Path) -> None:
        """Write the files. environment.json is the last one: it marks the description as complete.

        Raises:
            OSError: The folder cannot be written to.
        """
        for name, text in (
            ("config.yaml", self.config),
            ("summary.txt", self.summary),
            ("architecture.json", json.dumps(self.architecture, indent=1, sort_keys=True) + "\n"),
            ("spec.json", json.dumps(self.spec, indent=1) + "\n"),
            ("profile.json", json.dumps(self.profile) + "\n"),
        ):
            with atomic_write(folder / name) as file:
                file.write(text.encode())
        run_folder.write(folder, "environment.json", self.environment)

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """Read the description of a stored run.

        Raises:
            RunError: A file is missing or damaged.
        """
        result = run_folder.read(folder, "result.json")
        return cls(
            config=run_folder.read_text(folder, "config.yaml"),
            environment=run_folder.read(folder, "environment.json"),
            architecture=run_folder.read(folder, "architecture.json"),
            summary=run_folder.read_text(folder, "summary.txt"),
            spec=run_folder.read(folder, "spec.json"),
            profile=run_folder.read(folder, "profile.json") if (folder / "profile.json").exists() else None,
            fingerprint=result["fingerprint"],
            rows=result["rows"],
            parameters=result["parameters"],
        )
