"""Figures that an evaluation adds to a report: their data, without their layout."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageGrid:
    """A grid of images.

    Attributes:
        title: The title of the figure.
        images: (rows, columns, height, width), or with a last axis of 1 or 3 channels, of any scale. The smallest value
            is shown black, the largest white.
        columns: The name of each column.
    """

    title: str
    images: np.ndarray
    columns: tuple[str, ...]
