"""What a report can draw beside scores: the data of a figure, without how it looks."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageGrid:
    """Images side by side.

    title: what they are. images: (rows, columns, height, width), or with 1 or 3 channels behind, of any scale; the
    darkest value of all is shown black, the brightest white. columns: the name of each column.
    """

    title: str
    images: np.ndarray
    columns: tuple[str, ...]
