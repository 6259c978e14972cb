"""Japanese Vowels, shipped with the project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.data.source import Dataset, DataSource, Sequences, Table, class_label, describe, np, numbered_rows

FILE = Path(__file__).parents[3] / "datasets" / "japanese_vowels" / "japanese_vowels.npz"


@dataclass
class JapaneseVowels(DataSource):
    """Japanese Vowels: 270 + 370 utterances of 7 to 29 steps x 12 by 9 speakers. Shipped with the project.

    Example:
        make train experiment=japanese_vowels_gru
    """

    def read(self) -> Dataset:
        """Return train and test: utterance (steps, 12) float32 of cepstrum coefficients, and speaker 1 to 9."""
        splits = {}
        with np.load(FILE, allow_pickle=False) as arrays:
            for split_name in ("train", "test"):
                values, lengths, speakers = (arrays[f"{split_name}_{name}"] for name in ("values", "lengths", "labels"))
                splits[split_name] = Table(
                    {"utterance": Sequences.from_lengths(values, lengths)},
                    {"speaker": speakers},
                    numbered_rows(f"{FILE}, {split_name}"),
                )
        return describe(splits, labels={"speaker": class_label(range(1, 10))}, location=str(FILE))
