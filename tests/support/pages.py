"""The page of a small study."""

from pathlib import Path

from drawn import make_study

from weakneg.config.report import PageSettings
from weakneg.report.figures import draw_figure
from weakneg.report.page.write import write_report
from weakneg.report.tables import write_tables


def make_page(folder: Path, classes, strategies, n_seeds=2, **settings) -> Path:
    """Write the page of a study with these classes and strategies."""
    metrics, runs, study = make_study(folder / "runs", classes, strategies, n_seeds)
    study |= settings
    write_tables(metrics, study, folder / "tables")
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
    )
    return folder / "report.html"
