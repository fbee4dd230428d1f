"""The figures: which strategies beat the baseline, where, by how much, and at what cost.

Each figure is a module of this folder that defines

    KINDS = ("clips", "spectrograms")

    @in_house_style
    def draw(metrics: pd.DataFrame, runs: Sequence[tuple[str, Path]], study: Study) -> Figure

What it draws are its parameters, which are some of the options of `draw_figure`: the tables
metrics, overlap, turnover, hidden, hidden_epochs, budget, partial, partial_epochs, truth and
reliability; the folders of the runs; the files recordings, train_store, test_store and problems.
`KINDS` are the kinds of data that it is for, by default all; studies that hide positives have the
figures of the kind "hidden", studies of budgets those of the kind "budget", and studies of many
classes those of the kind "partial". A figure may also have a table, for numbers that are in no
other table:

    def table(metrics: pd.DataFrame, runs: Sequence[tuple[str, Path]], study: Study) -> pd.DataFrame

So anybody can draw any of them, from results that are read or made in another way:

    from weakneg.report.figures import win_count
    from weakneg.report.results import read_results

    metrics, study = read_results("results/cifar10")
    win_count.draw(metrics, study).savefig("win_count.pdf")

The workflow finds a new file and its caption (workflow/report/<name>.rst) by itself. Equal inputs
give equal bytes in every format: dates are left out of the files, SVG ids come from a fixed salt,
and the fonts are those of matplotlib.
"""

import importlib
from pathlib import Path
from typing import Any

from pydantic import Json

from weakneg import plugins
from weakneg.errors import UserError
from weakneg.stages import StrategyRun, stage

_FOLDER = Path(__file__).parent
_KINDS = ("images", "clips", "spectrograms")


def names() -> list[str]:
    """The names of all figures in alphabetical order: the files here that define `draw`."""
    return plugins.names(_FOLDER, "draw")


def for_kind(kind: str) -> list[str]:
    """The names of the figures for a kind of data, or for "hidden", "budget" or "partial"."""
    return [name for name in names() if kind in plugins.constant(_FOLDER, name, "KINDS", _KINDS)]


def inputs(name: str) -> tuple[str, ...]:
    """The options of `draw_figure` that a figure reads: the parameters of its `draw`."""
    arguments = plugins.function(_FOLDER, name, "draw").args.args
    return tuple(each.arg for each in arguments if each.arg != "study")


def has_table(name: str) -> bool:
    """Whether a figure has a table."""
    return name in plugins.names(_FOLDER, "table")


@stage
def draw_figure(
    name: str,
    settings: Json[dict[str, Any]],
    outputs: list[Path],
    *,
    metrics: Path | None = None,
    runs: list[StrategyRun] | None = None,
    overlap: Path | None = None,
    turnover: Path | None = None,
    hidden: Path | None = None,
    hidden_epochs: Path | None = None,
    budget: Path | None = None,
    partial: Path | None = None,
    partial_epochs: Path | None = None,
    recordings: Path | None = None,
    train_store: Path | None = None,
    test_store: Path | None = None,
    problems: Path | None = None,
    truth: Path | None = None,
    reliability: Path | None = None,
    table: Path | None = None,
) -> None:
    """Draw a figure of a study, in one or several formats.

    A figure reads only some of the files: see `draw` in its source.

    Parameters
    ----------
    name : str
        Name of the figure: a file of workflow/weakneg/report/figures.
    settings : dict
        The study as it is reported.
    outputs : list of Path
        Files to write; the suffix is the format: .pdf, .png or .svg.
    metrics : Path
        The metrics of the study.
    runs : list of (str, Path)
        Strategy and folder of each run, for all classes.
    overlap, turnover : Path
        The tables selection_overlap.csv and selection_turnover.csv of the audit.
    hidden, hidden_epochs : Path
        The tables of the same names, of a study that hides positives.
    budget : Path
        The table budget.csv, of a study of budgets.
    partial, partial_epochs : Path
        The tables of the same names, of a study of many classes.
    recordings : Path
        The list of recordings.
    train_store, test_store : Path
        The feature stores.
    problems : Path
        The list of problems next to them.
    truth : Path
        The table truth.csv.
    reliability : Path
        The table reliability.csv.
    table : Path
        CSV file to write, if the figure has a table; numbers have three decimals.

    Raises
    ------
    UserError
        When the figure or the format does not exist, or when a file is missing, damaged or
        incomplete.
    """
    # Imported here: asking for the names must not load matplotlib.
    from weakneg.analysis.study import Study
    from weakneg.io.csv import write_frame
    from weakneg.io.files import replace_when_whole
    from weakneg.report.figures.reading import read_inputs
    from weakneg.report.figures.style import METADATA, house_style

    plugins.check_name(name, names(), "figure")
    for output in outputs:
        if output.suffix not in METADATA:
            raise UserError(f"{output}: the format of a figure is one of {', '.join(METADATA)}.")
    if table is not None and not has_table(name):
        raise UserError(f"{table}: the figure {name} has no table: leave out --table.")
    module = importlib.import_module(f"{__name__}.{name}")
    study = Study.of(settings)
    files = {
        "metrics": metrics,
        "overlap": overlap,
        "turnover": turnover,
        "hidden": hidden,
        "hidden_epochs": hidden_epochs,
        "budget": budget,
        "partial": partial,
        "partial_epochs": partial_epochs,
        "recordings": recordings,
        "train_store": train_store,
        "test_store": test_store,
        "problems": problems,
        "truth": truth,
        "reliability": reliability,
    }
    given = read_inputs(inputs(name), study, runs or [], files)
    if table is not None:
        write_frame(table, module.table(**given, study=study), "%.3f")
    with house_style():
        figure = module.draw(**given, study=study)
        for output in outputs:
            with replace_when_whole(output) as temporary:
                figure.savefig(temporary, metadata=METADATA[temporary.suffix])
