"""What hidden positives cost, and which choices and losses find them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Json

from weakneg.analysis.hidden import baseline_of, measures_by_epoch, metrics_by_share
from weakneg.analysis.metrics import read_metrics, select_study
from weakneg.analysis.runs import runs_of_classes
from weakneg.analysis.study import Study
from weakneg.io.csv import write_frame
from weakneg.report.formatting import (
    DASH,
    classes_phrase,
    number,
    percentage,
    plus_minus,
    seeds_phrase,
    signed_number,
)
from weakneg.report.latex import write_text
from weakneg.report.markdown import escape, markdown_table
from weakneg.stages import StrategyRun, stage


@stage
def audit_hidden(
    runs: list[StrategyRun], metrics: Path, settings: Json[dict[str, Any]], folder: Path
) -> None:
    """Write what became of the hidden positives of a study: two tables and a summary.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run.
    metrics : Path
        The metrics of the study.
    settings : dict
        The study as it is reported.
    folder : Path
        Folder to write to: hidden.csv (see `weakneg.analysis.hidden.metrics_by_share`),
        hidden_epochs.csv (see `measures_by_epoch`), hidden.md and hidden.tex.

    Raises
    ------
    UserError
        When a run or a file of it is missing or damaged.
    """
    study = Study.of(settings)
    results = metrics_by_share(select_study(read_metrics(metrics), study), study)
    epochs = measures_by_epoch(runs_of_classes(runs, study), study)
    results, epochs = results.round(5), epochs.round(5)  # the text can be made from the tables
    write_frame(folder / "hidden.csv", results)
    write_frame(folder / "hidden_epochs.csv", epochs)
    write_hidden_text(folder / "hidden.md", results, epochs, study)


def write_hidden_text(
    path: Path, results: pd.DataFrame, epochs: pd.DataFrame, study: Study
) -> None:
    """Write the summary, and its tables in LaTeX beside it; parameters as for `hidden_text`."""
    write_text(path, hidden_text(results, epochs, study))


def hidden_text(results: pd.DataFrame, epochs: pd.DataFrame, study: Study) -> str:
    """The summary.

    Parameters
    ----------
    results, epochs : DataFrame
        See `weakneg.analysis.hidden`.
    study : Study
        The study.

    Returns
    -------
    str
        Markdown.
    """
    n_seeds = int(results["seeds"].max())
    strategy, loss = baseline_of(study)
    over = f"mean over {classes_phrase(len(study.classes))} and {seeds_phrase(n_seeds)}"
    interval = "; ± half of the 95% interval over seeds" if n_seeds > 1 else ""
    parts = [
        f"# {escape(study.title)}",
        "A share of the positive training bags is labelled negative, as if their labels were "
        "missing. The test bags keep their labels.",
        f"## Average precision\n\nTest AP, {over}{interval}.",
        _table(results, "ap", number),
        f"## Difference from {escape(strategy)} with {escape(loss)}\n\n"
        "Difference in AP at the same share of hidden positives, paired by class and seed"
        f"{interval}.",
        _table(results, "ap_difference", signed_number),
    ]
    epochs = epochs[epochs["hidden"] > 0]
    if len(epochs):
        parts += [
            "## What was chosen\n\nHidden positives among the bags chosen, as a multiple of their "
            "share of the pool, mean over epochs: 1 is what random choice gives.",
            _table(_concentration(epochs), "concentration", lambda value: f"{value:.2f}"),
        ]
    doubted = epochs[(epochs["measure"] == "doubted") & (epochs["mean"] > 0)]
    if len(doubted):
        means = _over_epochs(epochs[epochs["loss"].isin(doubted["loss"])])
        parts += [
            "## What was doubted\n\nShare of hidden positives among the bags whose label the loss "
            "rejected or corrected (precision), mean over epochs.",
            _table(means, "precision", percentage),
            "Share of the hidden positives trained on whose label the loss rejected or corrected "
            "(recall), mean over epochs.",
            _table(means, "recall", percentage),
        ]
    if study.note:
        parts.append(escape(study.note))
    return "\n\n".join(parts) + "\n"


def _over_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    keys = ["strategy", "loss", "hidden", "measure"]
    return epochs.groupby(keys, sort=False)["mean"].mean().reset_index()


def _concentration(epochs: pd.DataFrame) -> pd.DataFrame:
    shares = _over_epochs(epochs)
    wide = shares.pivot(
        index=["strategy", "loss", "hidden"], columns="measure", values="mean"
    ).reindex(shares.set_index(["strategy", "loss", "hidden"]).index.unique())
    mean = wide["in_chosen"] / wide["in_pool"]
    return mean.rename("mean").reset_index().assign(measure="concentration")


def _table(results: pd.DataFrame, measure: str, write: Callable[[float], str]) -> str:
    """A row for each strategy and loss, a column for each share of hidden positives."""
    found = results[results["measure"] == measure]
    shares = sorted(found["hidden"].unique())
    cells = {}
    for row in found.to_dict("records"):
        text = DASH if pd.isna(row["mean"]) else write(row["mean"])
        text += plus_minus(row["mean"], row.get("high", math.nan))
        cells[row["strategy"], row["loss"], row["hidden"]] = text
    pairs = dict.fromkeys((strategy, loss) for strategy, loss, _ in cells)
    return markdown_table(
        ["Strategy", "Loss", *(f"{100 * share:g}% hidden" for share in shares)],
        [
            [escape(s), escape(loss), *(cells.get((s, loss, share), DASH) for share in shares)]
            for s, loss in pairs
        ],
        "-",
        "-",
        *["-:"] * len(shares),
    )
