"""The results of a study, for your own figures and questions."""

import json
from pathlib import Path

import pandas as pd

from weakneg.analysis.metrics import read_metrics, select_study
from weakneg.analysis.study import Study
from weakneg.config.load import load_study
from weakneg.config.report import FigureSettings
from weakneg.config.subset import subset
from weakneg.errors import UserError


def read_results(
    folder: str | Path,
    study: str | None = None,
    *,
    classes: list[str | int] | None = None,
    strategies: list[str] | None = None,
) -> tuple[pd.DataFrame, Study]:
    """Read the metrics of a finished or published study, to draw its figures or other ones.

    Parameters
    ----------
    folder : str or Path
        Folder with metrics.csv, such as results/cifar10.
    study : str, optional
        Name of the study, or path of its YAML file; by default the name in provenance.json, if the
        folder has one, or else that of the folder.
    classes : list of str or int, optional
        Names or numbers of the classes to show; by default all of the metrics.
    strategies : list of str, optional
        The strategies to show; by default all of the metrics. The baseline is always shown.

    Returns
    -------
    metrics : DataFrame
        See `weakneg.analysis.metrics.run_metrics`.
    study : Study
        The study as it is reported, with the classes and strategies of the metrics.

    Raises
    ------
    UserError
        When a file is missing, or the study has no such class or strategy.
    """
    folder = Path(folder)
    metrics = read_metrics(folder / "metrics.csv")
    provenance = folder / "provenance.json"
    if study is None:
        study = folder.resolve().name
        if provenance.exists():
            study = json.loads(provenance.read_text(encoding="utf-8"))["study"]
    config = load_study(study)
    there = metrics["class"].unique().tolist(), metrics["strategy"].unique().tolist()
    try:
        config = subset(subset(config, *there, None), classes, strategies, None)
    except ValueError as error:
        raise UserError(f"{folder}: {error}") from error
    reported = Study.of(FigureSettings.of(config).model_dump())
    return select_study(metrics, reported), reported
