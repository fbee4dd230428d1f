"""Tables, figures and page of a published study, made from its metrics."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from weakneg.analysis.metrics import read_metrics, select_study
from weakneg.analysis.partial import left_out
from weakneg.analysis.study import Study
from weakneg.config.load import load_study
from weakneg.config.report import FigureSettings, PageSettings
from weakneg.config.subset import subset
from weakneg.errors import UserError
from weakneg.report import figures
from weakneg.report.budget import write_budget_text
from weakneg.report.hidden import write_hidden_text
from weakneg.report.page.write import write_report
from weakneg.report.partial import write_partial_text
from weakneg.report.tables import write_tables
from weakneg.stages import command
from weakneg.workspace.results import captions

_FORMATS = ("pdf", "png", "svg")


@command
def redraw(published: Path, target: Path) -> None:
    """Make the tables, figures and page of a published study again, without training.

    The study is the one named in provenance.json, as defined in workflow/studies now, with the
    classes and strategies of metrics.csv. The figure of the selections also needs the tables
    selection_overlap.csv and selection_turnover.csv, that of hidden positives hidden.csv and
    hidden_epochs.csv, that of budgets budget.csv, that of many classes partial.csv and
    partial_epochs.csv, that of reliability reliability.csv; they are left out without them. What is
    made from runs or data (learning curves, the figure of the audio, the tables of selections) is
    not drawn; the page shows it as it was published.

    Parameters
    ----------
    published : Path
        Folder with metrics.csv and provenance.json.
    target : Path
        Folder to write to: tables/, figures/ and report.html.

    Raises
    ------
    UserError
        When a file is missing, or the metrics are incomplete.
    """
    try:
        provenance = json.loads((published / "provenance.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{published} has no provenance.json: name a published folder.") from error
    metrics = read_metrics(published / "metrics.csv")
    study = load_study(provenance["study"])
    classes, strategies = ([*metrics[name].unique()] for name in ("class", "strategy"))
    try:
        study = subset(study, classes, strategies, None)
        page = PageSettings.of(study)
    except ValueError as error:
        raise UserError(f"{published}: {error}") from error
    settings = FigureSettings.of(study).model_dump()
    files = {
        "metrics": published / "metrics.csv",
        "overlap": published / "tables" / "selection_overlap.csv",
        "turnover": published / "tables" / "selection_turnover.csv",
        "hidden": published / "tables" / "hidden.csv",
        "hidden_epochs": published / "tables" / "hidden_epochs.csv",
        "budget": published / "tables" / "budget.csv",
        "partial": published / "tables" / "partial.csv",
        "partial_epochs": published / "tables" / "partial_epochs.csv",
        "truth": published / "tables" / "truth.csv",
        "reliability": published / "tables" / "reliability.csv",
    }
    there: dict[str, Any] = {option: file for option, file in files.items() if file.exists()}
    reported, tables = Study.of(settings), target / "tables"
    if study.subject == "budget":  # strategies are compared at equal budgets only
        if "budget" in there:
            write_budget_text(tables / "budget.md", pd.read_csv(there["budget"]), reported)
    elif study.subject == "hidden":  # and here at equal shares of hidden positives
        if there.keys() >= {"hidden", "hidden_epochs"}:
            results, epochs = pd.read_csv(there["hidden"]), pd.read_csv(there["hidden_epochs"])
            write_hidden_text(tables / "hidden.md", results, epochs, reported)
    elif study.subject == "partial":  # and here with equal labels
        if there.keys() >= {"partial", "partial_epochs"}:
            results, epochs = pd.read_csv(there["partial"]), pd.read_csv(there["partial_epochs"])
            without = left_out(select_study(metrics, reported), reported)
            write_partial_text(tables / "partial.md", results, epochs, without, reported)
    else:
        write_tables(files["metrics"], settings, tables)
    for name in figures.for_kind(study.subject):
        needed = figures.inputs(name)
        if there.keys() >= set(needed):
            outputs = [target / "figures" / f"{name}.{ending}" for ending in _FORMATS]
            print(outputs[1], file=sys.stderr, flush=True)
            figures.draw_figure(
                name, settings, outputs, **{option: there[option] for option in needed}
            )
    shown = _latest(target / "figures", published / "figures", ".svg")
    write_report(
        files["metrics"],
        _latest(target / "tables", published / "tables", ".csv"),
        shown,
        page,
        json.loads(captions(study.name, [path.stem for path in shown])),
        provenance.get("command") or shlex.join(["snakemake", "--cores", "all", study.name]),
        target / "report.html",
        provenance=provenance,
    )


def _latest(drawn: Path, published: Path, suffix: str) -> list[Path]:
    """The files that were drawn, and those that were only published, by name."""
    files = {path.name: path for folder in (published, drawn) for path in folder.glob(f"*{suffix}")}
    return [files[name] for name in sorted(files)]
