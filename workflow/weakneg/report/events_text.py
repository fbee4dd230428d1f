"""Event detection as a text in Markdown."""

import pandas as pd

from weakneg.analysis.events import OF_ALL
from weakneg.analysis.intervals import mean_interval
from weakneg.analysis.study import Study
from weakneg.report.formatting import DASH, classes_phrase, number, plus_minus, seeds_phrase
from weakneg.report.markdown import escape, markdown_table

HEADER = ("Method", "Segment F1", "PSDS 1", "PSDS 2", "PSDS 1 of classes", "PSDS 2 of classes")
EVERYWHERE = "the same everywhere"
"""The method that knows nothing."""


def caption(table: pd.DataFrame) -> str:
    """What is measured, and on what; the parameter is as for `events_text`."""
    first, n_seeds = table.iloc[0], table["seed"].nunique()
    interval = ", ± half of the 95% interval over seeds" if n_seeds > 1 else ""
    return (
        "When do events begin and end, by the scores of frames, without smoothing? F1 of segments"
        " of one second, with the best threshold of each class for the same clips; PSDS 1, which"
        " is about when, and PSDS 2, which is about what (both up to 100 false positives per hour,"
        " by sed_scores_eval). PSDS subtracts the standard deviation over classes; the mean over"
        f" the PSDS of single classes does not. {first['clips']:,} test clips,"
        f" {classes_phrase(first['classes'])}; mean over {seeds_phrase(n_seeds)}{interval}."
    )


def rows(table: pd.DataFrame, study: Study) -> list[list[str]]:
    """The cells of the table of methods, without markup; parameters as for `events_text`."""
    found = []
    for strategy, of_method in table.groupby("strategy", sort=False):
        cells = [study.display_name(str(strategy))]
        for measure in OF_ALL:
            mean, _, high = mean_interval(of_method[measure].to_numpy())
            cells.append(number(mean) + plus_minus(mean, high))
        found.append(cells)
    unknown = [DASH] * (len(OF_ALL) - 1)
    return [*found, [EVERYWHERE, number(table["everywhere_f1"].iloc[0]), *unknown]]


def events_text(table: pd.DataFrame, study: Study) -> str:
    """The summary.

    Parameters
    ----------
    table : DataFrame
        The table events.csv.
    study : Study
        The study.

    Returns
    -------
    str
        Markdown.
    """
    cells = [[escape(name), *values] for name, *values in rows(table, study)]
    parts = [
        f"# {escape(study.title)}: event detection",
        caption(table),
        markdown_table(HEADER, cells),
    ]
    return "\n\n".join(parts) + "\n"
