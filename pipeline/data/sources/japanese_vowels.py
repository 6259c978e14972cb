"""Japanese Vowels, shipped with the project."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource


@dataclass
class JapaneseVowels(DataSource):
    """Japanese Vowels: 270 + 370 utterances of 7 to 29 steps x 12 by 9 speakers. Shipped with the project.

    Example:
        make train experiment=japanese_vowels_gru
    """

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.japanese_vowels()
