"""The house style: the look of the figures, and the parts that they share.

The colour, marker and line of a strategy are defined in its file. The paper's strategies have the
colours of Okabe and Ito and the others those of Tol, which colour-blind people can distinguish.
Each strategy also has its own marker and line, so that grey prints work.

Nothing here uses pyplot or changes matplotlib's settings outside `house_style`.
"""

import itertools
import math
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Literal, NamedTuple, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from weakneg.analysis.study import Study
from weakneg.report.formatting import number, seeds_phrase

_Shown = ParamSpec("_Shown")

WIDTH = 7.1  # inches: the text width of a two-column page
AP_LIMITS = (-0.02, 1.02)
"""Limits of an axis of average precision: intervals over two seeds reach far beyond 0 and 1."""

INK, MUTED, FAINT = "#222222", "#6B6B6B", "#D9D9D9"
HOUSE_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5 $10"
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "figure.dpi": 200,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "weakneg",
}
# Everything that would write the date or a version into the file.
METADATA = {
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}


class Style(NamedTuple):
    """The look of a strategy in all figures.

    Attributes
    ----------
    colour, marker : str
        As matplotlib reads them.
    line : str or tuple
        Line style: "-", or (0, dashes) in points.
    """

    colour: str
    marker: str
    line: str | tuple[float, tuple[float, ...]]

    @property
    def marked(self) -> dict[str, Any]:
        """Keywords of `Axes.plot` for a line with markers."""
        return {
            **{"color": self.colour, "linestyle": self.line},
            **{"marker": self.marker, "ms": 4, "mew": 0},
        }


_MORE_COLOURS = ("#332288", "#882255", "#999933", "#117733", "#8C510A", "#44AA99", "#AA4499")
_MORE_MARKERS = ("h", ">", "8", "*", "H")
_MORE_DASHES = ((), (2, 1), (5, 1, 1, 1))
# Of methods, which have no look in a file: 13 colours and 10 markers before one repeats.
_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", *_MORE_MARKERS[:2], "*")


@contextmanager
def house_style() -> Iterator[None]:
    """Within this context: matplotlib's defaults and `HOUSE_STYLE`, not the user's matplotlibrc."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(HOUSE_STYLE)
        yield


def in_house_style(draw: Callable[_Shown, Figure]) -> Callable[_Shown, Figure]:
    """Make a function that draws a figure draw it in the house style, with a settled layout."""

    @wraps(draw)
    def drawn(*shown: _Shown.args, **named: _Shown.kwargs) -> Figure:
        with house_style():
            figure = draw(*shown, **named)
            settle(figure)
        return figure

    return drawn


def styles(study: Study) -> dict[str, Style]:
    """Style of each strategy; those without one get the next free one, in the study's order."""
    # Coprime lengths: 7 * 5 * 3 strategies before a combination repeats.
    more = map(
        _style,
        itertools.cycle(_MORE_COLOURS),
        itertools.cycle(_MORE_MARKERS),
        itertools.cycle(_MORE_DASHES),
    )
    return {
        s: _style(**study.looks[s]) if s in study.looks else next(more) for s in study.strategies
    }


def _style(colour: str, marker: str, dashes: Sequence[float] = ()) -> Style:
    return Style(colour, marker, (0, tuple(dashes)) if dashes else "-")


def styles_of_methods(study: Study) -> dict[str, Style]:
    """Name of each method of a study of many classes -> its style, whatever labels it sees."""
    colours = itertools.cycle((*_OKABE_ITO, *_MORE_COLOURS))
    looks = map(_style, colours, itertools.cycle(_MARKERS), itertools.cycle(_MORE_DASHES))
    names = dict.fromkeys(study.methods[strategy].method for strategy in study.strategies)
    return dict(zip(names, looks, strict=False))


CENTRED: dict[str, Any] = {"ha": "center", "va": "center_baseline"}


def canvas(height: float, study: Study, headline: str, subtitle: str) -> Figure:
    """An empty figure of the page's width, with titles at the top and the study's note below.

    Parameters
    ----------
    height : float
        Height in inches, without the titles and the note.
    study : Study
        The study.
    headline, subtitle : str
        Titles: the headline follows the study's, the subtitle is wrapped below it.
    """
    above = textwrap.wrap(subtitle, 118)
    below = textwrap.wrap(study.note, 145)
    top, bottom = 0.35 + 0.13 * len(above), 0.03 + (0.06 + 0.11 * len(below) if below else 0)
    height += top + bottom
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    rect = (0.005, bottom / height, 0.985, 1 - (top + bottom) / height)
    layout_of(figure).set(rect=rect, wspace=0.04)
    title = shorten(study.title, 34)
    figure.text(
        0.012, 1 - 0.08 / height, f"{title}: {headline}", fontsize=9.5, fontweight="bold", va="top"
    )
    for size, lines, y in ((7.5, above, 1 - 0.27 / height), (6, below, (bottom - 0.05) / height)):
        figure.text(0.012, y, "\n".join(lines), fontsize=size, color=MUTED, va="top")
    return figure


def layout_of(figure: Figure) -> ConstrainedLayoutEngine:
    """The layout engine of a figure made by `canvas`."""
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    return layout


def legend_below(figure: Figure, *rows: Sequence[Artist]) -> None:
    """A legend of one or more rows between the axes and the study's note, 0.17 inches a row."""
    for row in reversed(rows):
        figure.legend(
            handles=row,
            loc="lower center",
            bbox_to_anchor=(0.5, _take_below(figure, 0.17)),
            borderaxespad=0,
            borderpad=0.2,
            ncols=len(row),
            handlelength=1.5,
            handleheight=1.0,
            columnspacing=1.4,
        )


def legend_of_curves(figure: Figure, looks: Mapping[str, Style]) -> None:
    """A legend below the axes: name of each curve -> its look; two rows if there are many."""
    handles = [
        Line2D([], [], color=v.colour, ls=v.line, marker=v.marker, ms=4, mew=0, label=k)
        for k, v in looks.items()
    ]
    half = (len(handles) + 1) // 2
    legend_below(figure, *([handles[:half], handles[half:]] if len(handles) > 6 else [handles]))


def label_below(figure: Figure, text: str) -> None:
    """A label for the x axes of all panels, 0.17 inches high."""
    figure.text(0.5, _take_below(figure, 0.17), text, ha="center", va="bottom")


def _take_below(figure: Figure, inches: float) -> float:
    """Reserve a line below the axes; return its bottom, as a share of the figure's height."""
    layout, part = layout_of(figure), inches / figure.get_figheight()
    left, bottom, width, height = layout.get()["rect"]
    layout.set(rect=(left, bottom + part, width, height - part))
    return bottom


def settle(figure: Figure) -> None:
    """Fix the layout of a figure at rounded positions.

    The last digits from the constraint solver depend on memory addresses, and would otherwise
    differ each time that the same figure is drawn.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 5), round(bottom, 5), round(width, 5), round(height, 5)))


def nothing_to_compare(study: Study, reason: str = "") -> Figure:
    """A figure that says so, by default because there is only one strategy."""
    baseline = study.display_name(study.baseline)
    reason = reason or f"A comparison needs the baseline {baseline} and another strategy."
    return canvas(0.7, study, "nothing to compare", reason)


def rows_of(study: Study, strategies: Collection[str]) -> dict[str, float]:
    """Position of each strategy's row, in the study's order; the upper bound comes last, set apart.

    Parameters
    ----------
    study : Study
        The study.
    strategies : collection of str
        Distinct strategies: those that share a run have one row.

    Returns
    -------
    dict
        Strategy -> y of its row.
    """
    competitors = [strategy for strategy in strategies if strategy != study.upper_bound]
    rows = {strategy: float(y) for y, strategy in enumerate(competitors)}
    if study.upper_bound is not None and study.upper_bound in strategies:
        rows[study.upper_bound] = len(rows) + (0.4 if rows else 0.0)
    return rows


def label_rows(axes: Axes, rows: dict[str, float], study: Study) -> None:
    """Strategy names on the y axis, first on top."""
    axes.set_yticks(list(rows.values()), [label(study, s, 34) for s in rows], fontsize=8)
    axes.set_ylim(max(rows.values()) + 0.6, -0.6)


def label(study: Study, strategy: str, length: int) -> str:
    """The name of a strategy and of those that share its run, in lines of at most `length`."""
    first, *others = map(study.display_name, study.distinct[strategy])
    lines = two_lines(first, length).split("\n")
    for name in others:
        if len(lines[-1]) + len(f" = {name}") <= min(length, 20):
            lines[-1] += f" = {name}"
        else:
            lines += two_lines(f"= {name}", length).split("\n")
    if strategy == study.upper_bound:
        lines.append("(upper bound)")
    return "\n".join(lines)


def hide_left_axis(axes: Axes) -> None:
    """Hide the ticks and the line of a y axis whose labels name rows."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def set_apart(axes: Axes, rows: dict[str, float], study: Study) -> None:
    """A line above the row of the upper bound."""
    if study.upper_bound in rows and len(rows) > 1:
        axes.axhline(rows[study.upper_bound] - 0.7, color=FAINT, linewidth=0.8, zorder=0)


def panel_grid(figure: Figure, n_panels: int, n_columns: int, **options: Any) -> np.ndarray:
    """Axes in rows of `n_columns`; those left over in the last row are invisible."""
    n_rows = math.ceil(n_panels / n_columns)
    grid: np.ndarray = figure.subplots(n_rows, n_columns, squeeze=False, **options)
    for axes in grid.flat[n_panels:]:
        axes.set_visible(False)
    return grid


def label_lowest(grid: np.ndarray) -> None:
    """Label the x axis of the lowest panel of each column, since the last row may be shorter."""
    for column in grid.T:
        lowest = [axes for axes in column if axes.get_visible()][-1]
        lowest.tick_params(axis="x", labelbottom=True)


def draw_mark(
    axes: Axes, y: float, value: float, bounds: tuple[float, float], style: Style
) -> None:
    """A value with its interval, in a row."""
    axes.hlines(y, *bounds, color=style.colour, linewidth=1.3)
    axes.plot(value, y, style.marker, color=style.colour, markersize=5)


def draw_curve(
    axes: Axes,
    x: Sequence[float] | np.ndarray | pd.Series,
    y: Sequence[float] | np.ndarray | pd.Series,
    style: Style,
    n_epochs: int,
) -> None:
    """A curve over epochs, with a few of the strategy's markers on it."""
    axes.plot(
        x,
        y,
        color=style.colour,
        linestyle=style.line,
        linewidth=1.2,
        marker=style.marker,
        markersize=3.5,
        markeredgewidth=0,
        markevery=max(1, math.ceil(n_epochs / 6)),
    )


def guide_lines(axes: Axes, axis: Literal["x", "y", "both"]) -> None:
    """Faint lines at the ticks of an axis, or of both, in the background."""
    axes.set_axisbelow(True)
    axes.grid(axis=axis, color="#EEEEEE", linewidth=0.5)


def round_ticks(
    axis: Axis, most: int, write: Callable[[float, int], str] | None = None, **options: Any
) -> None:
    """At most `most` steps between round numbers, written by `write`."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], **options))
    if write is not None:
        axis.set_major_formatter(FuncFormatter(write))


def epoch_axis(axes: Axes) -> None:
    """An x axis of epochs."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter("{x:.0f}")


def logarithmic(axes: Axes) -> None:
    """A logarithmic x axis with few, plain numbers."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    subs = (1, 2, 5) if high / low < 60 else (1, 3) if high / low < 1000 else (1,)
    narrow = high / low < 4
    axes.xaxis.set_major_locator(
        MaxNLocator(4, steps=[1, 2, 5, 10]) if narrow else LogLocator(subs=subs)
    )
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def plain(value: float, _position: int) -> str:
    """A tick without trailing zeros: ".25"."""
    return number(value, 10).rstrip("0").rstrip(".") or "0"


def signed(value: float, position: int) -> str:
    """A tick with its sign: "+.25"."""
    text = plain(abs(value), position)
    return text if text == "0" else ("+" if value > 0 else "\N{MINUS SIGN}") + text


def thousands(value: float, _position: int) -> str:
    """A tick in thousands or millions: "20k"."""
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{suffix}"
    return f"{value:g}"


def seeds_and_intervals(n_seeds: int) -> str:
    """What the intervals of a figure are over, for its subtitle."""
    if n_seeds == 1:
        return "1 seed, so no interval"
    return f"95% intervals over {seeds_phrase(n_seeds)}"


def shorten(name: str, length: int) -> str:
    """Cut a name that is too long for the page."""
    name = " ".join(str(name).split())
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def two_lines(title: str, length: int) -> str:
    """Break a title at a space or an underscore, so that the titles of panels do not overlap."""
    words = title.replace("_", "_ ").split(" ")
    first = words.pop(0)
    while words and len(first) + 1 + len(words[0]) <= length:
        first += " " + words.pop(0)
    lines = [line.replace("_ ", "_") for line in (first, " ".join(words)) if line]
    return "\n".join(shorten(line, length) for line in lines)
