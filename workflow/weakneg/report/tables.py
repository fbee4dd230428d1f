"""The tables: Table 1 of the paper with intervals, comparisons, ranks and costs.

The CSV files are tidy, with all digits, and hold the numbers of the figures. The Markdown files are
for reading: blocks of text and tables. The LaTeX files have the same tables for papers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Json

from weakneg.analysis.comparison import (
    average_ranks,
    chance_of_two_fifths,
    chance_range,
    class_sizes,
    compare,
    costs,
    detectable,
    paired_differences,
    size_trend,
)
from weakneg.analysis.intervals import CONFIDENCE, MEAN_OVER_CLASSES, intervals
from weakneg.analysis.metrics import (
    HANDFUL,
    METRICS,
    MORE_METRICS,
    read_metrics,
    select_study,
)
from weakneg.analysis.runs import SECONDS
from weakneg.analysis.study import Study
from weakneg.io.csv import write_frame
from weakneg.report.formatting import (
    bootstrap_phrase,
    classes_phrase,
    interval,
    measured_on,
    number,
    p_value,
    percentage,
    plus_minus,
    seconds,
    seeds_phrase,
    signed_number,
)
from weakneg.report.latex import write_text
from weakneg.report.markdown import escape, markdown_table
from weakneg.stages import stage

CLASSES_PER_BLOCK = 4
MOST_CLASSES_IN_BLOCKS = 12  # more classes are the rows of a single table of APs


@stage
def write_tables(metrics: Path, settings: Json[dict[str, Any]], folder: Path) -> None:
    """Write the tables of a study.

    Parameters
    ----------
    metrics : Path
        The metrics of all runs.
    settings : dict
        The study as it is reported.
    folder : Path
        Folder to write to: table1, win_counts and cost as .csv, .md and .tex; ranks, differences
        and class_size as .csv.

    Raises
    ------
    UserError
        When the metrics lack a class, strategy or seed of the study.
    """
    study = Study.of(settings)
    runs = select_study(read_metrics(metrics), study)
    n_seeds = runs["seed"].nunique()
    cells = pd.concat(
        [intervals(runs, metric) for metric in (*METRICS, *MORE_METRICS)], ignore_index=True
    )
    cells["reference"] = [
        study.reference_value(row["strategy"], row["class"], row["metric"])
        for _, row in cells.iterrows()
    ]
    sizes = class_sizes(runs)
    unknown = ["test_unknown"] if sizes["test_unknown"].any() else []
    comparisons, ranks, differences, trends = (
        pd.concat([function(runs, study, metric) for metric in METRICS], ignore_index=True)
        for function in (compare, average_ranks, paired_differences, size_trend)
    )
    cost = costs(runs, study)

    tables = {
        "table1": cells.join(sizes[["n_positive", "prevalence", *unknown]], on="class"),
        "win_counts": comparisons,
        "ranks": ranks,
        "differences": differences,
        "class_size": trends,
        "cost": cost,
    }
    texts = {
        "table1": _table1(cells, sizes, study, n_seeds),
        "win_counts": [
            *_win_counts(comparisons, study, n_seeds),
            *_power(runs, study, n_seeds),
            *_ranks(ranks, study),
        ],
        "cost": _cost(cost, study, n_seeds),
    }
    for name, table in tables.items():
        write_frame(folder / f"{name}.csv", table)
    note = [study.note] if study.note else []
    for name, blocks in texts.items():
        write_text(folder / f"{name}.md", "\n\n".join([*blocks, *note]) + "\n")


# ---------------------------------------------------------------------------------------------
# Table 1


def _table1(cells: pd.DataFrame, sizes: pd.DataFrame, study: Study, n_seeds: int) -> list[str]:
    """Blocks of a few classes each or, for many classes, one table of their APs."""
    by_key = cells.set_index(["strategy", "class", "metric"])
    competitors = [s for s in study.strategies if s != study.upper_bound]

    def cell(strategy: str, class_name: str, metric: str) -> str:
        row = by_key.loc[(strategy, class_name, metric)]
        best = max(
            (by_key.loc[(other, class_name, metric), "mean"] for other in competitors),
            default=None,
        )
        text = number(row["mean"])
        if strategy in competitors and row["mean"] == best:
            text = f"**{text}**"
        text += plus_minus(row["mean"], row["high"])
        if pd.notna(row["reference"]):
            text += f" (paper {_published(row['reference'])})"
        return text

    many = len(study.classes) > MOST_CLASSES_IN_BLOCKS
    caption = f"{study.title}: {'AP, ' if many else ''}{_over_seeds(n_seeds, 'mean')}"
    caption += f"; bold: the best of each {'class' if many else 'column'}"
    if study.upper_bound in study.strategies:
        caption += f" apart from {study.display_name(study.upper_bound)}, the upper bound"
    if study.reference and cells["reference"].notna().any():
        caption += f"; paper: {study.reference.source}"
    caption += _left_out(sizes)
    if not many:
        return [f"{caption}.", *_blocks_of_classes(cell, study)]
    caption += (
        "; positives: positive training bags; prevalence: share of positive test bags. ROC-AUC,"
        " lift, F1 and g-mean are in table1.csv"
    )
    return [f"{caption}.", _rows_of_classes(cell, sizes, study)]


def _left_out(sizes: pd.DataFrame) -> str:
    """How many test bags no metric counts, since they are unknown; empty if there are none."""
    fewest, most = sizes["test_unknown"].min(), sizes["test_unknown"].max()
    if not most:
        return ""
    counts = f"{most:,.0f}" if fewest == most else f"{fewest:,.0f} to {most:,.0f}"
    return (
        f"; left out of all metrics: test bags whose label is unknown, {counts} per class"
        " (test_unknown in table1.csv)"
    )


def _blocks_of_classes(cell: Callable[[str, str, str], str], study: Study) -> list[str]:
    """A row per strategy; the mean over classes is in the last columns of the last block."""
    classes = [*study.classes, MEAN_OVER_CLASSES]
    # The mean joins the last block of classes instead of standing alone.
    starts = range(0, len(study.classes), CLASSES_PER_BLOCK)
    blocks = [classes[start : start + CLASSES_PER_BLOCK] for start in starts]
    if blocks[-1][-1] != MEAN_OVER_CLASSES:
        blocks[-1].append(MEAN_OVER_CLASSES)
    columns = [[(c, metric) for c in block for metric in METRICS] for block in blocks]
    return [
        markdown_table(
            [
                "Strategy",
                *(f"{escape(class_name)} {METRICS[metric]}" for class_name, metric in block),
            ],
            [
                [study.display_name(strategy), *(cell(strategy, *column) for column in block)]
                for strategy in study.strategies
            ],
        )
        for block in columns
    ]


def _rows_of_classes(
    cell: Callable[[str, str, str], str], sizes: pd.DataFrame, study: Study
) -> str:
    """A row per class and a column per run, with AP only."""
    strategies = list(study.distinct)
    written = {
        name: [f"{size['n_positive']:,.0f}", percentage(size["prevalence"])]
        for name, size in sizes.iterrows()
    }
    return markdown_table(
        ["Class", "Positives", "Prevalence", *(study.joint_name(s) for s in strategies)],
        [
            [escape(name), *written.get(name, ["", ""]), *(cell(s, name, "ap") for s in strategies)]
            for name in (*study.classes, MEAN_OVER_CLASSES)
        ],
    )


# ---------------------------------------------------------------------------------------------
# Comparisons


def _win_counts(comparisons: pd.DataFrame, study: Study, n_seeds: int) -> list[str]:
    if comparisons.empty:
        return [
            f"{study.title}: nothing to count, because a comparison needs the baseline"
            f" {study.display_name(study.baseline)} and another strategy."
        ]

    def with_clear(row: pd.Series, kind: str) -> str:
        return f"{row[kind]} ({row[f'clear_{kind}']})" if n_seeds > 1 else str(row[kind])

    blocks = [_win_counts_caption(comparisons, study, n_seeds)]
    for metric, title in METRICS.items():
        rows = [
            [
                study.joint_name(row["strategy"])
                + (" (upper bound)" if row["strategy"] == study.upper_bound else ""),
                with_clear(row, "wins")
                + interval(row["wins_low"], row["wins_high"], "{:.0f}".format),
                str(row["ties"]),
                with_clear(row, "losses"),
                p_value(row["sign_p"]),
                p_value(row["sign_p_holm"]),
                _mean_difference(row),
                p_value(row["wilcoxon_p"]),
                p_value(row["wilcoxon_p_holm"]),
            ]
            for _, row in comparisons[comparisons["metric"] == metric].iterrows()
        ]
        header = [title, "Better", "Tie", "Worse", "Sign p", "Holm"]
        header += ["Mean difference", "Wilcoxon p", "Holm"]
        blocks.append(markdown_table(header, rows))
    return blocks


def _win_counts_caption(comparisons: pd.DataFrame, study: Study, n_seeds: int) -> str:
    n_classes = len(study.classes)
    caption = (
        f"{study.title}: number of classes (of {n_classes}) on which a strategy is better or"
        f" worse than {study.display_name(study.baseline)} by its"
        f" {_over_seeds(n_seeds, 'mean difference', bounds=False)}"
    )
    if n_seeds > 1:
        caption += (
            "; in parentheses, those whose interval excludes zero (chance alone gives about"
            f" {n_classes * (1 - CONFIDENCE) / 2:.2g} on each side)"
        )
    if n_classes > 1:
        caption += f"; in brackets: {bootstrap_phrase(n_classes, n_seeds)}"
    competitors = comparisons.loc[comparisons["metric"] == "ap", "sign_p_holm"].count()
    caption += (
        "; p: exact two-sided sign test and two-sided Wilcoxon signed-rank test over classes, ties"
        f" left out; Holm: the p to its left, corrected for {competitors} comparisons"
    )
    if study.upper_bound and study.upper_bound in comparisons["strategy"].tolist():
        caption += f" (without {study.display_name(study.upper_bound)}, which does not compete)"
    low, high = chance_range(n_classes)
    enough, chance = chance_of_two_fifths(n_classes)
    return (
        f"{caption}. For scale: {n_classes} tosses of a fair coin give {low} to {high} heads at"
        f" least 95% of the time, and heads in at least 40% of them ({enough} or more)"
        f" {100 * chance:.0f}% of the time."
    )


def _power(runs: pd.DataFrame, study: Study, n_seeds: int) -> list[str]:
    of_mean, of_class = detectable(runs, study, "ap")
    if pd.isna(of_class):
        return []
    found = (
        f"a difference in AP of {number(of_class)} for a single class would be found four times in"
        " five by a paired t-test (two-sided, 5%, not corrected)"
    )
    if pd.notna(of_mean):
        found += (
            f", and one of {number(of_mean)} in the mean over these"
            f" {classes_phrase(len(study.classes))} by Wilcoxon's test with Holm's correction, if"
            " classes differ as much as here"
        )
    return [
        f"Power: with {seeds_phrase(n_seeds)}, {found}. A smaller one is not shown to be zero: its"
        " interval says how large it may be."
    ]


def _ranks(ranks: pd.DataFrame, study: Study) -> list[str]:
    by_metric = {
        metric: ranks[ranks["metric"] == metric].set_index("strategy") for metric in METRICS
    }
    first = next(iter(by_metric.values()))
    if len(first) < 2:
        return []

    def tests(column: str) -> str:
        return ", ".join(
            f"{title} {p_value(by_metric[metric][column].iloc[0])}"
            for metric, title in METRICS.items()
        )

    caption = f"Average rank over classes, 1 is best; p of the Friedman test: {tests('friedman_p')}"
    if first["iman_davenport_p"].notna().any():
        caption += f"; by Iman and Davenport's F: {tests('iman_davenport_p')}"
    if first["critical_difference"].isna().any():
        caption += ". Too few classes to tell which ranks differ significantly."
    else:
        caption += (
            ". Two strategies differ significantly if their ranks differ by at least"
            f" {first['critical_difference'].iloc[0]:.2f} (Nemenyi's test, 95%), a strategy and"
            f" {study.display_name(study.baseline)} if theirs differ by at least"
            f" {first['control_difference'].iloc[0]:.2f} (Bonferroni-Dunn, for comparisons with a"
            " control)."
        )
    rows = [
        [
            study.joint_name(strategy),
            *(f"{table.loc[strategy, 'average_rank']:.2f}" for table in by_metric.values()),
        ]
        for strategy in first.index
    ]
    return [caption, markdown_table(["Rank by", *METRICS.values()], rows)]


def _cost(cost: pd.DataFrame, study: Study, n_seeds: int) -> list[str]:
    n_classes = len(study.classes)
    caption = (
        f"{study.title}: AP on the test bags, its difference from"
        f" {study.display_name(study.baseline)}, and the cost of training, averaged over"
        f" {classes_phrase(n_classes)} and {seeds_phrase(n_seeds)}"
    )
    if n_classes > 1:
        caption += f"; in brackets: {bootstrap_phrase(n_classes, n_seeds)}"
    caption += (
        "; bags: trained on, over all epochs; seconds: in total and for each part of an epoch,"
        f" {measured_on(cost['devices'])}; epoch kept: the one with the best validation AP (its"
        " moving average, where the study smooths it), and the seconds up to its end. A strategy"
        " that merely learns faster improves these two columns; a better one improves AP however"
        " long the others train."
    )
    tied = cost["tied"].max() > HANDFUL
    if tied:
        caption += (
            " Tied: the most test bags that share the highest or the lowest score in a result."
        )
    rows = [
        [
            study.joint_name(row["strategy"]),
            number(row["ap"]),
            _mean_difference(row),
            f"{row['bags_trained']:,.0f}",
            *(seconds(row[column]) for column in ("seconds", *SECONDS)),
            f"{row['best_epoch']:.1f}",
            seconds(row["seconds_to_best"]),
            *([f"{row['tied']:,.0f}"] if tied else []),
        ]
        for _, row in cost.iterrows()
    ]
    parts = [column.removeprefix("seconds_").capitalize() for column in SECONDS]
    header = ["Strategy", "AP", "Difference", "Bags", "Seconds", *parts, "Epoch kept", "Until then"]
    header += ["Tied"] if tied else []
    return [caption, markdown_table(header, rows)]


# ---------------------------------------------------------------------------------------------
# Parts that tables share


def _mean_difference(row: pd.Series) -> str:
    """The difference from the baseline, with its interval."""
    bounds = interval(row["difference_low"], row["difference_high"], signed_number)
    return signed_number(row["difference"]) + bounds


def _published(value: float) -> str:
    """A published value: these have two decimals, sometimes three."""
    return number(value).removesuffix("0")


def _over_seeds(n_seeds: int, mean: str, bounds: bool = True) -> str:
    if n_seeds == 1:
        return f"{'value' if mean == 'mean' else 'difference'} with 1 seed (no interval)"
    half_width = " ± half-width of the 95% Student-t interval" if bounds else ""
    return f"{mean}{half_width} over {seeds_phrase(n_seeds)}"
