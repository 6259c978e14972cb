"""Shared by the plots of a report: plots as PNG, figures, colours and names."""

import base64
import io
import re
import zlib
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

MAX_NAME = 18  # characters of a name in a plot

BLUE, ORANGE, GREY = "#2f6bc7", "#e0792b", "#8a8a8a"
STYLE = {
    "text.parse_math": False,  # a class may have the name $x$
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "xtick.color": GREY,
    "xtick.labelcolor": "#333333",
    "ytick.color": GREY,
    "ytick.labelcolor": "#333333",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.dpi": 160,
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot as PNG.

    Attributes:
        file: The name of the file in the folder plots/.
        alt: A description for screen readers.
        width: The width of the plot on the page, in pixels.
        png: The content of the file.
    """

    file: str
    alt: str
    width: int
    png: bytes

    @property
    def uri(self) -> str:
        """The plot as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def use_log_scale(axes: Axes) -> None:
    """Make the y axis logarithmic with plain numbers: powers of ten need math text, which STYLE turns off."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def create_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes. The size is in inches of 96 pixels on the page."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def to_plot(figure: Figure, file: str, alt: str) -> Plot:
    """Return a figure as PNG. file: The name of the file. alt: A description for screen readers."""
    content = io.BytesIO()
    # without the name and version of the software, so that the bytes repeat
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
    return Plot(file=file, alt=alt, width=round(96 * figure.get_figwidth()), png=content.getvalue())


def short_name(name: str) -> str:
    """Return a name on one line, shortened for a plot, without characters that the font engine refuses."""
    name = " ".join(name.encode("utf-8", errors="replace").decode().split())
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def file_name(name: str) -> str:
    """Return a name that is safe in a file name; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:40]
    return plain if plain == name else f"{plain}-{zlib.crc32(name.encode(errors='replace')):08x}"
