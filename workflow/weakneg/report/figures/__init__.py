"""The figures: which strategies beat the baseline, where, by how much, and at what cost.

One file each. A figure is a module of this folder that defines

    def draw(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure

`metrics` are the rows of the study, in its order; `runs` its (strategy, run folder) pairs, given to
the figures that read them; `study` is the dictionary that `weakneg.report.formatting` describes.
Equal inputs give equal bytes in every format: dates are left out of the files, SVG ids come from a
fixed salt, and the fonts are matplotlib's own.

`selection` is drawn from the tables of the audit, by a stage of its own.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Json

from weakneg import plugins
from weakneg.errors import UserError
from weakneg.stages import StrategyRun, stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING_RUNS = ["learning_curves"]  # the other figures need the metrics alone
OF_CLIPS = ["class_size"]  # of images, all classes have about as many bags


def names() -> list[str]:
    """The names of all figures, in alphabetical order: the files here that define `draw`."""
    return plugins.names(Path(__file__).parent, "draw")


@stage
def draw_figure(
    name: str,
    metrics: Path,
    settings: Json[dict[str, Any]],
    outputs: list[Path],
    runs: list[StrategyRun] | None = None,
) -> None:
    """Draw the figure `name` into each of `outputs` (.pdf, .png, .svg).

    Parameters
    ----------
    name : str
        Of the figure.
    metrics : Path
        The metrics of all runs.
    settings : dict
        The study as it is reported.
    outputs : list of Path
        The files of the figure.
    runs : list of (str, Path)
        Strategy and folder of each run, for the figures that read them.

    Raises
    ------
    UserError
        For a figure or a format that does not exist, and for metrics or runs that lack a part of
        the study.
    """
    # Imported here: asking for the names must not load matplotlib.
    from weakneg.analysis.metrics import read_metrics, select_study

    plugins.check_name(name, names(), "figure")
    study = settings
    rows = select_study(read_metrics(metrics), study)
    module = importlib.import_module(f"{__name__}.{name}")
    write_figure(lambda: module.draw(rows, runs or [], study), outputs)


def write_figure(make: "Callable[[], Figure]", outputs: Sequence[str | Path]) -> None:
    """Make a figure in the house style and write it into each of `outputs` (.pdf, .png, .svg).

    Raises UserError for a format that does not exist.
    """
    from weakneg.io.files import replace_when_whole
    from weakneg.report.figures.style import METADATA, house_style, settle

    for output in outputs:
        if Path(output).suffix not in METADATA:
            raise UserError(f"{output}: a figure is written as one of {', '.join(METADATA)}.")
    with house_style():
        figure = make()
        settle(figure)
        for output in outputs:
            with replace_when_whole(output) as temporary:
                figure.savefig(temporary, metadata=METADATA[temporary.suffix])
