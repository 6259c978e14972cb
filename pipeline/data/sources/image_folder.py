"""Folders of images, one subfolder per class."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.errors import ConfigError
from pipeline.options import READ, option


@dataclass
class ImageFolder(DataSource):
    """A folder of PNG and JPEG images, one subfolder per class; folders train/, validation/, test/ above are splits.

    Example:
        make train data=image_folder data.path=photos data.height=64 data.width=64 model=residual_cnn
    """

    path: str = option("", "the folder", required=True, path=READ)
    height: int | None = option(None, "pixels; null takes the size of the images, which must all be equal", min=1)
    width: int | None = option(None, "pixels; null takes the size of the images, which must all be equal", min=1)
    channels: int = option(3, "1 for grey, 3 for colour", choices=(1, 3))
    in_memory: bool = option(False, "decode once and keep the pixels; false streams from disk")

    def check(self) -> None:
        super().check()
        if (self.height is None) != (self.width is None):
            raise ConfigError("data.height and data.width: expected both or neither.")

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.image_folder(self)
