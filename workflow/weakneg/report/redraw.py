"""Tables and figures again, from what is published of a study."""

import json
import sys
from pathlib import Path

from weakneg.analysis.metrics import read_metrics
from weakneg.config.load import load_study
from weakneg.config.stages import ReportSettings
from weakneg.config.subset import subset
from weakneg.errors import UserError
from weakneg.report import figures
from weakneg.report.figures.selection import draw_selection
from weakneg.report.tables import write_tables
from weakneg.stages import command

_FORMATS = ("pdf", "png", "svg")


@command
def redraw(published: Path, target: Path) -> None:
    """Write `tables/` and `figures/` into `target` from metrics.csv and provenance.json.

    The study is that of the name in provenance.json, as it is in workflow/studies now, with the
    classes and strategies that the metrics have. The figure of the selections needs the tables
    selection_overlap.csv and selection_turnover.csv too, and is left out where there are none. What
    is made from runs (learning curves, sound, the tables of selections) is not written.

    Parameters
    ----------
    published : Path
        A folder that holds metrics.csv and provenance.json.
    target : Path
        Folder that gets tables/ and figures/.

    Raises
    ------
    UserError
        When a file is missing, or the metrics lack what the tables need.
    """
    try:
        provenance = json.loads((published / "provenance.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{published} holds no provenance.json: name a published folder."
        ) from error
    metrics = read_metrics(published / "metrics.csv")
    study = load_study(provenance["study"])
    classes, strategies = ([*metrics[name].unique()] for name in ("class", "strategy"))
    try:
        settings = ReportSettings.of(subset(study, classes, strategies, None)).model_dump()
    except ValueError as error:
        raise UserError(f"{published}: {error}") from error
    write_tables(published / "metrics.csv", settings, target / "tables")

    def outputs(name: str) -> list[Path]:
        files = [target / "figures" / f"{name}.{ending}" for ending in _FORMATS]
        print(files[1], file=sys.stderr, flush=True)
        return files

    for name in figures.names():
        if name in figures.READING_RUNS or (name in figures.OF_CLIPS and study.kind == "images"):
            continue
        figures.draw_figure(name, published / "metrics.csv", settings, outputs(name))
    tables = [published / "tables" / f"selection_{part}.csv" for part in ("overlap", "turnover")]
    if all(table.exists() for table in tables):
        draw_selection(*tables, settings, outputs("selection"))
