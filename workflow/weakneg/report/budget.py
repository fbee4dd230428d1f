"""How few negatives are enough, and from which budget on choosing them stops mattering."""

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Json

from weakneg.analysis.budget import (
    choice_stops_mattering,
    enough,
    results_by_budget,
    steps_of_runs,
)
from weakneg.analysis.metrics import METRICS, read_metrics, select_study
from weakneg.analysis.study import Study
from weakneg.io.csv import write_frame
from weakneg.report.formatting import (
    DASH,
    bootstrap_phrase,
    classes_phrase,
    interval,
    number,
    plus_minus,
    seconds,
    seeds_phrase,
    signed_number,
)
from weakneg.report.latex import write_text
from weakneg.report.markdown import escape, markdown_table
from weakneg.stages import StrategyRun, stage

WHOLE_POOL = "all"


@stage
def compare_budgets(
    runs: list[StrategyRun], metrics: Path, settings: Json[dict[str, Any]], folder: Path
) -> None:
    """Write what each budget of a study costs and brings: a table and a summary.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run.
    metrics : Path
        The metrics of the study.
    settings : dict
        The study as it is reported.
    folder : Path
        Folder to write to: budget.csv (see `weakneg.analysis.budget.results_by_budget`),
        budget.md and budget.tex.

    Raises
    ------
    UserError
        When a run or a file of it is missing or damaged.
    """
    study = Study.of(settings)
    found = select_study(read_metrics(metrics), study)
    found = found.merge(steps_of_runs(runs), on=["class", "strategy", "seed"], validate="1:1")
    results = results_by_budget(found, study).round(5)  # the text can be made from the table
    write_frame(folder / "budget.csv", results)
    write_budget_text(folder / "budget.md", results, study)


def write_budget_text(path: Path, results: pd.DataFrame, study: Study) -> None:
    """Write the summary, and its tables in LaTeX beside it; parameters as for `budget_text`."""
    write_text(path, budget_text(results, study))


def budget_text(results: pd.DataFrame, study: Study) -> str:
    """The summary.

    Parameters
    ----------
    results : DataFrame
        See `weakneg.analysis.budget.results_by_budget`.
    study : Study
        The study.

    Returns
    -------
    str
        Markdown.
    """
    baseline = escape(study.display_name(study.baseline))
    by_metric = {name: results[results["metric"] == name] for name in METRICS}
    parts = [
        f"# {escape(study.title)}",
        *_answers(by_metric["ap"], baseline, int(results["classes"].max())),
        caption(results),
        *whole_pools(results),
    ]
    for metric, title in METRICS.items():
        parts += [f"## {title}", _table(by_metric[metric], title, baseline)]
    if study.note:
        parts.append(escape(study.note))
    return "\n\n".join(parts) + "\n"


def caption(results: pd.DataFrame) -> str:
    """What the columns of the table are; parameters as for `budget_text`."""
    n_classes, n_seeds = (int(results[each].max()) for each in ("classes", "seeds"))
    text = (
        "Budget: negatives per positive in an epoch, at most the pool. Mean over "
        f"{classes_phrase(n_classes)} and {seeds_phrase(n_seeds)}"
    )
    if n_seeds > 1:
        text += "; ± half of the 95% interval over seeds"
    if n_classes > 1:
        text += f"; in brackets: {bootstrap_phrase(n_classes, n_seeds)}"
    return text + "; bags, steps and seconds: of the whole training."


def whole_pools(results: pd.DataFrame) -> list[str]:
    """A sentence if some budgets leave nothing to choose; parameters as for `budget_text`."""
    whole = results[results["budget"].notna() & (results["whole_pool"] > 0)]
    sizes = whole.groupby("budget")["whole_pool"].max()
    n_classes = int(results["classes"].max())
    said = ", ".join(f"{budget:g} ({n} of {n_classes})" for budget, n in sizes.items())
    return [f"Budgets that are the whole pool of some classes: {said}."] if said else []


def _answers(results: pd.DataFrame, baseline: str, n_classes: int) -> list[str]:
    """What the intervals of AP say; nothing where there are none."""
    answers = []
    if few := enough(results):
        said = "; ".join(
            f"{escape(strategy)}: {'more than were tried' if least is None else f'{least:g}'}"
            for strategy, least in few.items()
        )
        answers.append(
            "**Smallest budget from which on AP is not below that of the full set** (its 95% "
            f"interval reaches zero): {said}."
        )
    if results["difference_low"].notna().any():
        least = choice_stops_mattering(results)
        until = "not among these" if least is None else f"{least:g}"
        answers.append(
            "**Smallest budget from which on no strategy differs from "
            f"{baseline} in AP** (all 95% intervals include zero): {until}."
        )
    if answers and n_classes < 10:
        answers.append("With so few classes, these intervals are too narrow.")
    return answers


def _table(results: pd.DataFrame, title: str, baseline: str) -> str:
    """A row for each strategy and budget."""
    rows = []
    for row in results.to_dict("records"):
        value = number(row["mean"]) + plus_minus(row["mean"], row["high"])
        rows.append(
            [
                escape(row["strategy"]),
                WHOLE_POOL if pd.isna(row["budget"]) else f"{row['budget']:g}",
                f"{row['bags']:,.0f}",
                f"{row['steps']:,.0f}",
                seconds(row["seconds"]),
                value,
                _difference(row, "difference"),
                _difference(row, "from_full"),
            ]
        )
    header = ["Strategy", "Budget", "Bags", "Steps", "Seconds", title]
    return markdown_table([*header, f"From {baseline}", "From the full set"], rows)


def _difference(row: dict[str, Any], name: str) -> str:
    if pd.isna(row[name]):
        return DASH
    bounds = interval(row[f"{name}_low"], row[f"{name}_high"], signed_number)
    return signed_number(row[name]) + bounds
