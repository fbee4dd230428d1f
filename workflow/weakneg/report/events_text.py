"""Event detection as a text in Markdown."""

from collections.abc import Iterator

import pandas as pd

from weakneg.analysis.intervals import mean_interval
from weakneg.analysis.study import Study
from weakneg.report.formatting import DASH, classes_phrase, number, plus_minus, seeds_phrase
from weakneg.report.markdown import escape, markdown_table

MEASURES = {
    "segment_f1": "Segment F1",
    "psds1": "PSDS 1",
    "psds2": "PSDS 2",
    "psds1_mean": "PSDS 1 of classes",
    "psds2_mean": "PSDS 2 of classes",
}
"""Columns of events.csv that are results of a model -> their titles."""

HEADER = ["Method", *MEASURES.values()]
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


def by_method(table: pd.DataFrame) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """The results of each method, in the order of the table; the parameter is as for `events_text`.

    Yields
    ------
    str
        The strategy.
    list of (float, float)
        For each of the `MEASURES`, the mean over seeds and the upper end of its 95% interval.
    """
    for strategy, of_method in table.groupby("strategy", sort=False):
        intervals = [mean_interval(of_method[measure].to_numpy()) for measure in MEASURES]
        yield str(strategy), [(mean, high) for mean, _, high in intervals]


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
    cells = [
        [
            escape(study.display_name(strategy)),
            *(number(mean) + plus_minus(mean, high) for mean, high in results),
        ]
        for strategy, results in by_method(table)
    ]
    unknown = [DASH] * (len(MEASURES) - 1)
    cells.append([EVERYWHERE, number(table["everywhere_f1"].iloc[0]), *unknown])
    parts = [
        f"# {escape(study.title)}: event detection",
        caption(table),
        markdown_table(HEADER, cells),
    ]
    return "\n\n".join(parts) + "\n"
