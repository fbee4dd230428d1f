"""The page of a small study."""

from pathlib import Path

import pandas as pd
import partly_labelled
from drawn import make_study

from weakneg.analysis.budget import results_by_budget
from weakneg.analysis.metrics import read_metrics
from weakneg.analysis.study import Study
from weakneg.config.report import PageSettings
from weakneg.io.csv import write_frame
from weakneg.report.figures import draw_figure
from weakneg.report.page.write import write_report
from weakneg.report.tables import write_tables


def budget_table(metrics: Path, study) -> pd.DataFrame:
    """The table of a study of budgets whose runs took 100 steps for every negative per positive."""
    found = read_metrics(metrics)
    steps = found["strategy"].map(study["budgets"]).fillna(20) * 100
    found = found.assign(steps=steps, bags_trained=32 * steps)
    return results_by_budget(found, Study.of(study))


def page_settings(study, **settings) -> PageSettings:
    """The settings of the page of a study, of which `study` has those that it reports."""
    return PageSettings(
        **study,
        description=settings.get("title", "Toy."),
        configuration={"training.epochs": 4, "dataset.name": "toy"},
        paper={"training.epochs": 15, "dataset.name": "toy"},
        paper_study="cifar10",
    )


def make_page(
    folder: Path, classes, strategies, n_seeds=2, tables=None, sounds=None, **settings
) -> Path:
    """Write the page of a study with these classes and strategies, and perhaps more tables."""
    metrics, runs, study = make_study(folder / "runs", classes, strategies, n_seeds)
    study |= settings
    of_budgets = bool(study.get("budgets"))
    if of_budgets:
        write_frame(folder / "tables" / "budget.csv", budget_table(metrics, study))
    else:
        write_tables(metrics, study, folder / "tables")
    for more, rows in (tables or {}).items():
        write_frame(folder / "tables" / f"{more}.csv", rows)
    name = "budget" if of_budgets else "win_count"
    table = {"budget": folder / "tables" / "budget.csv"} if of_budgets else {"metrics": metrics}
    figure = folder / "figures" / f"{name}.svg"
    draw_figure(name, study, [figure], **table)
    page = page_settings(study, **settings)
    write_report(
        metrics,
        sorted((folder / "tables").glob("*.csv")),
        [figure],
        page,
        {name: "A caption."},
        "snakemake --cores all toy",
        folder / "report.html",
        runs=runs,
        sounds=sounds,
    )
    return folder / "report.html"


def make_page_of_methods(folder: Path, metrics: pd.DataFrame, records, settings, **more) -> Path:
    """Write the page of a study of many classes, with its tables and figure."""
    results, epochs = partly_labelled.tables(metrics, records, settings)
    tables = {"partial": folder / "partial.csv", "partial_epochs": folder / "partial_epochs.csv"}
    write_frame(tables["partial"], results)
    write_frame(tables["partial_epochs"], epochs)
    write_frame(folder / "metrics.csv", metrics)
    figure = folder / "partial.svg"
    draw_figure("partial", settings, [figure], **tables)
    write_report(
        folder / "metrics.csv",
        [*tables.values()],
        [figure],
        page_settings(settings, **more),
        {"partial": "A caption."},
        "snakemake --cores all toy",
        folder / "report.html",
    )
    return folder / "report.html"
