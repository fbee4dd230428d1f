"""The page of a small study."""

from pathlib import Path

from drawn import make_study

from weakneg.config.report import PageSettings
from weakneg.io.csv import write_frame
from weakneg.report.figures import draw_figure
from weakneg.report.page.write import write_report
from weakneg.report.tables import write_tables


def make_page(
    folder: Path, classes, strategies, n_seeds=2, tables=None, sounds=None, **settings
) -> Path:
    """Write the page of a study with these classes and strategies, and perhaps more tables."""
    metrics, runs, study = make_study(folder / "runs", classes, strategies, n_seeds)
    study |= settings
    write_tables(metrics, study, folder / "tables")
    for name, table in (tables or {}).items():
        write_frame(folder / "tables" / f"{name}.csv", table)
    figure = folder / "figures" / "win_count.svg"
    draw_figure("win_count", study, [figure], metrics=metrics)
    page = PageSettings(
        **study,
        description=settings.get("title", "Toy."),
        configuration={"training.epochs": 4, "dataset.name": "toy"},
        paper={"training.epochs": 15, "dataset.name": "toy"},
        paper_study="cifar10",
    )
    write_report(
        metrics,
        sorted((folder / "tables").glob("*.csv")),
        [figure],
        page,
        {"win_count": "A caption."},
        "snakemake --cores all toy",
        folder / "report.html",
        runs=runs,
        sounds=sounds,
    )
    return folder / "report.html"
