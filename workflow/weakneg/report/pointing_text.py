"""The pointing game as a text in Markdown."""

from collections.abc import Callable

import pandas as pd

from weakneg.analysis.intervals import mean_interval
from weakneg.analysis.study import Study
from weakneg.report.formatting import classes_phrase, number, percentage, seeds_phrase
from weakneg.report.markdown import escape, markdown_table

MEASURES: dict[str, Callable[[float], str]] = {"pointing": percentage, "instance_ap": number}
"""Columns of pointing.csv that are results of a model, and how they are written."""

CHANCE = {"pointing": "chance", "instance_ap": "prevalence"}
"""What each of them is when instances are ranked at random."""


def caption(table: pd.DataFrame) -> str:
    """What is played, and over what the means are; the parameter is as for `pointing_text`."""
    n_seeds = table["seed"].nunique()
    over = f"Mean over {classes_phrase(table['class'].nunique())} and {seeds_phrase(n_seeds)}"
    interval = "; ± half of the 95% interval over seeds" if n_seeds > 1 else ""
    return (
        "Test bags that hold a class in some instances and not in others: in how many does the"
        " instance that speaks most for the class hold it (pointing), and how well do the scores"
        f" of instances rank them (AP of instances)? {over}{interval}."
    )


def bags_phrase(table: pd.DataFrame) -> str:
    """How many bags of each class are played with; the parameter is as for `pointing_text`."""
    counts = table.drop_duplicates("class").set_index("class")["bags"]
    return f"Bags: {', '.join(f'{name} {n}' for name, n in counts.items())}."


def by_method(table: pd.DataFrame) -> pd.DataFrame:
    """The results of each method.

    Parameters
    ----------
    table : DataFrame
        As for `pointing_text`.

    Returns
    -------
    DataFrame
        A row for each method, in the order of the table: strategy and, for each of the `MEASURES`,
        its mean over classes and seeds and half of its 95% interval over seeds, `<measure>_half`,
        which is NaN for 1 seed.
    """
    rows = []
    by_seed = table.groupby(["strategy", "seed"], sort=False)[[*MEASURES]].mean()
    for strategy, found in by_seed.groupby("strategy", sort=False):
        row: dict[str, object] = {"strategy": strategy}
        for measure in MEASURES:
            mean, _, high = mean_interval(found[measure].to_numpy())
            row |= {measure: mean, f"{measure}_half": high - mean}
        rows.append(row)
    return pd.DataFrame(rows)


def by_chance(table: pd.DataFrame) -> dict[str, float]:
    """Each of the `MEASURES` by chance, mean over classes; parameter as for `pointing_text`."""
    of_class = table.drop_duplicates("class")
    return {measure: float(of_class[chance].mean()) for measure, chance in CHANCE.items()}


def pointing_text(table: pd.DataFrame, study: Study) -> str:
    """The summary.

    Parameters
    ----------
    table : DataFrame
        The table pointing.csv.
    study : Study
        The study.

    Returns
    -------
    str
        Markdown.
    """
    rows = []
    for row in by_method(table).to_dict("records"):
        cells = [escape(study.display_name(row["strategy"]))]
        for measure, write in MEASURES.items():
            half = row[f"{measure}_half"]
            cells.append(write(row[measure]) + ("" if pd.isna(half) else f" ± {write(half)}"))
        rows.append(cells)
    chance = by_chance(table)
    rows.append(["chance", *(write(chance[measure]) for measure, write in MEASURES.items())])
    parts = [
        f"# {escape(study.title)}: the pointing game",
        caption(table),
        markdown_table(["Method", "Pointing", "AP of instances"], rows, "-", "-:", "-:"),
        bags_phrase(table.assign(**{"class": table["class"].map(escape)})),
    ]
    return "\n\n".join(parts) + "\n"
