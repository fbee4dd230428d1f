"""The tables people read: Table 1 of the paper with intervals, win counts, and differences.

The study is the plain dictionary that `weakneg.wording` describes.
"""

from pathlib import Path

import pandas as pd

from weakneg.evaluation import (
    CONFIDENCE,
    MEAN_OVER_CLASSES,
    METRICS,
    intervals,
    paired_differences,
    read_metrics,
    select_study,
    win_counts,
)
from weakneg.files import replace_when_whole
from weakneg.wording import (
    number,
    p_value,
    reference_value,
    seeds_phrase,
    strategy_name,
    upper_bound,
)

CLASSES_PER_BLOCK = 4


def write_tables(metrics_csv: str | Path, study: dict, output_folder: str | Path) -> None:
    """Write table1.csv, table1.md, win_counts.csv, win_counts.md and differences.csv.

    The CSV files are tidy (one value per row, full precision); the Markdown ones are for people.
    Raises UserError when the metrics lack a class, strategy or seed of the study.
    """
    metrics = select_study(read_metrics(metrics_csv), study)
    cells = pd.concat([intervals(metrics, metric) for metric in METRICS], ignore_index=True)
    cells["reference"] = [
        reference_value(study, row["strategy"], row["class"], row["metric"])
        for _, row in cells.iterrows()
    ]
    differences = pd.concat(
        [paired_differences(metrics, study["baseline"], metric) for metric in METRICS],
        ignore_index=True,
    )
    counts = win_counts(differences)
    n_seeds = metrics["seed"].nunique()

    folder = Path(output_folder)
    for name, table in {"table1": cells, "differences": differences, "win_counts": counts}.items():
        with replace_when_whole(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    for name, text in {
        "table1": _table1_markdown(cells, study, n_seeds),
        "win_counts": _win_counts_markdown(counts, study, n_seeds),
    }.items():
        with replace_when_whole(folder / f"{name}.md") as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


def _table1_markdown(cells: pd.DataFrame, study: dict, n_seeds: int) -> str:
    """Blocks of a few classes each, the mean over classes in the last columns of the last one."""
    by_key = cells.set_index(["strategy", "class", "metric"])
    competitors = [s for s in study["strategies"] if s != upper_bound(study)]

    def cell(strategy: str, class_name: str, metric: str) -> str:
        row = by_key.loc[(strategy, class_name, metric)]
        best = max(
            (by_key.loc[(other, class_name, metric), "mean"] for other in competitors),
            default=None,
        )
        text = number(row["mean"])
        if strategy in competitors and row["mean"] == best:
            text = f"**{text}**"
        if n_seeds > 1:
            text += f" ± {number(row['high'] - row['mean'])}"
        if pd.notna(row["reference"]):
            text += f" (paper {_published(row['reference'])})"
        return text

    classes = [*study["classes"], MEAN_OVER_CLASSES]
    # The mean joins the last block of classes instead of standing alone.
    starts = range(0, len(study["classes"]), CLASSES_PER_BLOCK)
    blocks = [classes[start : start + CLASSES_PER_BLOCK] for start in starts]
    if blocks[-1][-1] != MEAN_OVER_CLASSES:
        blocks[-1].append(MEAN_OVER_CLASSES)
    columns = [[(c, metric) for c in block for metric in METRICS] for block in blocks]
    parts = [
        _markdown_table(
            ["Strategy", *(f"{class_name} {METRICS[metric]}" for class_name, metric in block)],
            [
                [strategy_name(strategy), *(cell(strategy, *column) for column in block)]
                for strategy in study["strategies"]
            ],
        )
        for block in columns
    ]
    caption = f"{study['title']}: {_over_seeds(n_seeds, 'mean')}"
    caption += "; bold: the best of each column"
    if len(competitors) < len(study["strategies"]):
        caption += f" apart from {strategy_name(upper_bound(study))}, the upper bound"
    if cells["reference"].notna().any():
        caption += f"; paper: {study['reference']['source']}"
    return "\n".join([f"{caption}.\n", *parts, *_note(study)])


def _win_counts_markdown(counts: pd.DataFrame, study: dict, n_seeds: int) -> str:
    baseline = strategy_name(study["baseline"])
    if counts.empty:
        return (
            f"{study['title']}: nothing to count, because a comparison needs the baseline"
            f" {baseline} and one more strategy.\n"
        )
    n_classes = len(study["classes"])
    caption = (
        f"{study['title']}: number of classes (of {n_classes}) on which a strategy is better or"
        f" worse than {baseline} by its {_over_seeds(n_seeds, 'mean difference', bounds=False)}"
    )
    if n_seeds > 1:
        caption += (
            "; in parentheses those whose interval excludes zero, of which chance alone gives about"
            f" {n_classes * (1 - CONFIDENCE) / 2:.2g} on each side"
        )
    caption += "; p: exact two-sided sign test over classes, ties left out."

    def with_clear(row: pd.Series, kind: str) -> str:
        return f"{row[kind]} ({row[f'clear_{kind}']})" if n_seeds > 1 else str(row[kind])

    parts = []
    for metric, title in METRICS.items():
        rows = [
            [
                strategy_name(row["strategy"])
                + (" (upper bound)" if row["strategy"] == upper_bound(study) else ""),
                with_clear(row, "wins"),
                str(row["ties"]),
                with_clear(row, "losses"),
                p_value(row["p"]),
            ]
            for _, row in counts[counts["metric"] == metric].iterrows()
        ]
        parts.append(_markdown_table([title, "Better", "Tie", "Worse", "p"], rows))
    return "\n".join([f"{caption}\n", *parts, *_note(study)])


def _published(value: float) -> str:
    """Published values have two decimals, sometimes three."""
    return number(value).removesuffix("0")


def _over_seeds(n_seeds: int, mean: str, bounds: bool = True) -> str:
    if n_seeds == 1:
        return f"{'value' if mean == 'mean' else 'difference'} with 1 seed (no interval)"
    interval = " ± half-width of the 95% Student-t interval" if bounds else ""
    return f"{mean}{interval} over {seeds_phrase(n_seeds)}"


def _note(study: dict) -> list[str]:
    return [f"{study['note']}\n"] if study.get("note") else []


def _markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    table = [[text.replace("|", "\\|") for text in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        cells = [first.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([lines[0], f"|{rule}|", *lines[1:], ""])
