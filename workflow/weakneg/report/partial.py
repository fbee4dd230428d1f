"""Which of the labels that are assumed to be negative training should believe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Json

from weakneg.analysis.metrics import METRICS, read_metrics, select_study
from weakneg.analysis.partial import (
    ALL,
    LOSSES,
    TREATMENT,
    groups_of_classes,
    labels_by_epoch,
    left_out,
    read_records,
    results_by_method,
)
from weakneg.analysis.study import Study
from weakneg.io.csv import write_frame
from weakneg.io.files import replace_when_whole
from weakneg.report.formatting import (
    DASH,
    classes_phrase,
    interval,
    number,
    percentage,
    plus_minus,
    seconds,
    seeds_phrase,
    signed_number,
)
from weakneg.report.markdown import escape, markdown_table
from weakneg.stages import StrategyRun, stage

MEMORY = (
    "Mean loss with the label that training assumes, for which hidden labels are negative. A model"
    " that memorises fits them too: the loss of the hidden positives then falls to that of the"
    " hidden negatives. Fall: by how much it is lower after the last epoch than where it was"
    " highest."
)
"""What the columns of the table of memorised labels are."""

TREATED = (
    "Of the hidden labels, those that the loss rejected or corrected, mean over the epochs in which"
    " it did. Precision: the share of positives among them; at random, it would be that among all"
    " hidden labels. Recall: the share of the hidden positives that is among them."
)
"""What the columns of the table of rejected and corrected labels are."""


@stage
def audit_partial(
    runs: list[StrategyRun], metrics: Path, settings: Json[dict[str, Any]], folder: Path
) -> None:
    """Write what methods make of partly unknown labels: two tables and a summary.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run.
    metrics : Path
        The metrics of the study.
    settings : dict
        The study as it is reported.
    folder : Path
        Folder to write to: partial.csv (see `weakneg.analysis.partial.results_by_method`),
        partial_epochs.csv (see `labels_by_epoch`) and partial.md.

    Raises
    ------
    UserError
        When a run or a file of it is missing or damaged, or when no class has results.
    """
    study = Study.of(settings)
    found = select_study(read_metrics(metrics), study)
    records = read_records(runs, study)
    results = results_by_method(found, records, study)
    epochs = labels_by_epoch(records, groups_of_classes(found, study), study)
    results, epochs = results.round(5), epochs.round(5)  # the text can be made from the tables
    write_frame(folder / "partial.csv", results)
    write_frame(folder / "partial_epochs.csv", epochs)
    write_partial_text(folder / "partial.md", results, epochs, left_out(found, study), study)


def write_partial_text(
    path: Path, results: pd.DataFrame, epochs: pd.DataFrame, without: Sequence[str], study: Study
) -> None:
    """Write the summary to a file; parameters as for `partial_text`."""
    with replace_when_whole(path) as temporary:
        text = partial_text(results, epochs, without, study)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def partial_text(
    results: pd.DataFrame, epochs: pd.DataFrame, without: Sequence[str], study: Study
) -> str:
    """The summary.

    Parameters
    ----------
    results, epochs : DataFrame
        See `weakneg.analysis.partial`.
    without : sequence of str
        The classes that are left out.
    study : Study
        The study.

    Returns
    -------
    str
        Markdown.
    """
    baseline = escape(study.methods[study.baseline].method)
    parts = [
        f"# {escape(study.title)}",
        "One model of all classes for each method. Training takes labels that it does not see for "
        f"negative; the test bags keep theirs. {what_is_seen(results)}",
        f"## Average precision\n\nMean AP {caption(results, study)}",
        _table_of_results(results),
    ]
    if results["difference"].notna().any():
        parts += [
            f"## Difference from {baseline}\n\nDifference in mean AP with the same labels, "
            f"{_intervals_phrase(results)}",
            _table_of_differences(results),
        ]
    if len(memory := memorised(epochs)):
        parts += [f"## What was memorised\n\n{MEMORY}", _table_of_memory(memory)]
    if len(treated := treated_labels(epochs)):
        parts += [f"## What was rejected or corrected\n\n{TREATED}", _table_of_treated(treated)]
        if treated["group"].nunique() > 1:
            parts += ["Precision, by group of classes:", _table_of_precision(treated)]
    parts.append(left_out_phrase([*map(escape, without)], len(study.classes)))
    if study.note:
        parts.append(escape(study.note))
    return "\n\n".join(parts) + "\n"


def what_is_seen(results: pd.DataFrame) -> str:
    """How many labels the methods see; parameters as for `partial_text`."""
    said = [
        f"{observed}: {_percentage(row['labels_observed'])} of all training labels and "
        f"{_percentage(row['positives_observed'])} of the positive ones"
        for observed, row in results.drop_duplicates("observed").set_index("observed").iterrows()
    ]
    return f"Labels observed: {'; '.join(said)}."


def _percentage(share: float) -> str:
    """A percentage with two digits, since one label of many classes is few."""
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"


def caption(results: pd.DataFrame, study: Study) -> str:
    """What the columns of the table are; parameters as for `partial_text`."""
    of_all = results[results["group"] == ALL].iloc[0]
    n_classes, n_seeds = int(of_all["classes"]), int(of_all["seeds"])
    text = f"over {classes_phrase(n_classes)} and {seeds_phrase(n_seeds)}"
    text += "; ± half of the 95% interval over seeds." if n_seeds > 1 else "."
    groups = results[results["group"] != ALL].drop_duplicates("group")
    if len(groups):
        columns = ["group", "positives_from", "positives_to"]
        sizes = [
            f"{name} {low:,.0f}" + (f" to {high:,.0f}" if round(high) > round(low) else "")
            for name, low, high in groups[columns].itertuples(index=False)
        ]
        text += (
            " G1 to G5: a fifth of the classes each, by the number of positive labels that"
            f" {study.methods[study.baseline].method} sees ({', '.join(sizes)} a class)."
        )
    return f"{text} Seconds: of the training of one model."


def _intervals_phrase(results: pd.DataFrame) -> str:
    """What the intervals of differences are over."""
    of_all = results[results["group"] == ALL].iloc[0]
    n_seeds, n_classes = int(of_all["seeds"]), int(of_all["classes"])
    text = "with 95% intervals over seeds, on these classes, and over classes, of means over seeds."
    if n_seeds == 1:
        text = "with the 95% interval over classes; 1 seed has none over seeds."
    if n_classes == 1:
        text = "with the 95% interval over seeds."
    if results["group"].nunique() > 1:
        text += " G1 to G5: differences alone."
    return text


def left_out_phrase(without: Sequence[str], n_classes: int, most: int | None = None) -> str:
    """Which classes are left out, in a sentence.

    Parameters
    ----------
    without : sequence of str
        These classes.
    n_classes : int
        The number of all classes.
    most : int, optional
        How many are named; by default all of them.
    """
    why = "an observed positive label, and both labels among the test bags, in every run"
    if not without:
        return f"No class is left out: each has {why}."
    named = "; ".join(without[:most])
    if more := len(without) - len(without[:most]):
        named += f"; and {more} more"
    verb = "is" if len(without) == 1 else "are"
    return f"{len(without)} of {n_classes} classes {verb} left out, without {why}: {named}."


def memorised(epochs: pd.DataFrame) -> pd.DataFrame:
    """What models make of hidden positives in the course of training.

    Parameters
    ----------
    epochs : DataFrame
        See `weakneg.analysis.partial.labels_by_epoch`.

    Returns
    -------
    DataFrame
        A row for each method and observed labels that hide positives. Columns method, observed, the
        `LOSSES` after the last epoch that all seeds reached, `highest`, the highest loss of the
        hidden positives until then, `epoch`, when that was, and `fall`, the share by which the last
        is lower.
    """
    rows = []
    of_losses = epochs[epochs["measure"].isin(LOSSES)]
    for (method, observed), found in of_losses.groupby(["method", "observed"], sort=False):
        by_all = found[found["seeds"] == found["seeds"].max()]
        wide = by_all.pivot(index="epoch", columns="measure", values="mean").reindex(columns=LOSSES)
        hidden = wide["loss_hidden_positive"].dropna()
        if hidden.empty:
            continue
        highest = hidden.max()
        rows.append(
            {
                "method": method,
                "observed": observed,
                **wide.loc[hidden.index[-1]],
                "highest": highest,
                "epoch": int(hidden.idxmax()),
                "fall": 1 - hidden.iloc[-1] / highest,
            }
        )
    return pd.DataFrame(rows)


def treated_labels(epochs: pd.DataFrame) -> pd.DataFrame:
    """What methods reject or correct, mean over the epochs in which they do.

    Parameters
    ----------
    epochs : DataFrame
        See `weakneg.analysis.partial.labels_by_epoch`.

    Returns
    -------
    DataFrame
        A row for each method, observed labels and group in which labels were rejected or corrected:
        columns method, observed, group, and `weakneg.analysis.partial.TREATMENT`.
    """
    keys = ["method", "observed", "group"]
    wide = epochs.pivot(index=[*keys, "epoch"], columns="measure", values="mean")
    wide = wide.reindex(columns=TREATMENT)
    found = wide[wide["treated"] > 0].groupby(level=keys).mean()
    order = pd.MultiIndex.from_frame(epochs[keys].drop_duplicates())
    return found.reindex(order).dropna(how="all").reset_index()


def _with_half(row: Mapping[str, Any]) -> str:
    return number(row["mean"]) + plus_minus(row["mean"], row["high"])


def _groups(results: pd.DataFrame) -> list[str]:
    """The groups besides that of all classes."""
    return [group for group in results["group"].unique() if group != ALL]


def _rows(results: pd.DataFrame) -> list[tuple[str, str, dict[str, dict[str, Any]]]]:
    """Method, observed labels, and the row of each group."""
    return [
        (method, observed, {row["group"]: row for row in rows.to_dict("records")})
        for (method, observed), rows in results.groupby(["method", "observed"], sort=False)
    ]


def _table_of_results(results: pd.DataFrame) -> str:
    of_ap, of_auc = (results[results["metric"] == metric] for metric in ("ap", "roc_auc"))
    groups = _groups(of_ap)
    auc = of_auc[of_auc["group"] == ALL].set_index(["method", "observed"])["mean"]
    rows = []
    for method, observed, row in _rows(of_ap):
        rows.append(
            [
                escape(method),
                escape(observed),
                _with_half(row[ALL]),
                *(number(row[group]["mean"]) for group in groups),
                number(auc[method, observed]),
                f"{row[ALL]['epochs']:.3g}",
                seconds(row[ALL]["seconds"]),
            ]
        )
    header = ["Method", "Labels observed", "All", *groups, METRICS["roc_auc"], "Epochs", "Seconds"]
    return _markdown(header, rows)


def _table_of_differences(results: pd.DataFrame) -> str:
    of_ap = results[results["metric"] == "ap"]
    groups = _groups(of_ap)
    rows = [
        [
            escape(method),
            escape(observed),
            signed_number(row[ALL]["difference"]),
            *(
                interval(row[ALL][f"{over}_low"], row[ALL][f"{over}_high"], signed_number).strip()
                or DASH
                for over in ("seeds", "classes")
            ),
            *(signed_number(row[group]["difference"]) for group in groups),
        ]
        for method, observed, row in _rows(of_ap)
        if pd.notna(row[ALL]["difference"])
    ]
    header = ["Method", "Labels observed", "All", "Over seeds", "Over classes", *groups]
    return _markdown(header, rows)


def _table_of_memory(memory: pd.DataFrame) -> str:
    rows = [
        [
            escape(row["method"]),
            escape(row["observed"]),
            *(DASH if pd.isna(row[measure]) else number(row[measure]) for measure in LOSSES),
            number(row["highest"]),
            f"{row['epoch']}",
            percentage(row["fall"]),
        ]
        for row in memory.to_dict("records")
    ]
    header = ["Method", "Labels observed", *(name.capitalize() for name in LOSSES.values())]
    return _markdown([*header, "Highest", "At epoch", "Fall"], rows)


def _table_of_treated(treated: pd.DataFrame) -> str:
    rows = [
        [
            escape(row["method"]),
            escape(row["observed"]),
            *(percentage(row[name]) for name in ("treated", "precision", "positives", "recall")),
        ]
        for row in treated[treated["group"] == ALL].to_dict("records")
    ]
    header = ["Method", "Labels observed", "Rejected or corrected", "Precision", "At random"]
    return _markdown([*header, "Recall"], rows)


def _table_of_precision(treated: pd.DataFrame) -> str:
    groups = _groups(treated)
    rows = []
    for method, observed, row in _rows(treated):
        cells = [percentage(row[g]["precision"]) if g in row else DASH for g in groups]
        rows.append([escape(method), escape(observed), *cells])
    return _markdown(["Method", "Labels observed", *groups], rows)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table whose first two columns are names; the second is left out if it says one thing."""
    if len({row[1] for row in rows}) == 1:
        return markdown_table(header[:1] + header[2:], [row[:1] + row[2:] for row in rows])
    return markdown_table(header, rows, "-", "-", *["-:"] * (len(header) - 2))
