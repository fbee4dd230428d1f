"""The tables of what people heard: models and labels, judged on the clips they listened to."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Json

from weakneg.analysis.comparison import compare
from weakneg.analysis.intervals import MEAN_OVER_CLASSES, intervals
from weakneg.analysis.selections import bags_of_classes
from weakneg.analysis.study import Study
from weakneg.analysis.truth import (
    COUNTS,
    FIRST,
    METRICS,
    PRECISION,
    as_metrics,
    judge_runs,
    judged_clips,
)
from weakneg.datasets.listened import read_heard
from weakneg.io.csv import write_frame
from weakneg.report.formatting import (
    bootstrap_phrase,
    interval,
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
def judge_truth(
    runs: list[StrategyRun],
    manifests: list[Path],
    heard: Path,
    classes: Json[dict[str, dict[str, list[str]]]],
    settings: Json[dict[str, Any]],
    folder: Path,
) -> None:
    """Judge models and labels by what people heard, on exactly the clips that they listened to.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run; strategies that choose the same bags share a folder.
    manifests : list of Path
        The manifests of the test clips, as for `bags_of_classes`.
    heard : Path
        The list of what people heard.
    classes : dict
        How each class that people listened for is judged.
    settings : dict
        The study as it is reported.
    folder : Path
        Folder to write to: truth.csv, truth.md and truth.tex.

    Raises
    ------
    UserError
        When the list has a mistake or no test clip, or scores are missing or damaged.
    """
    study = Study.of(settings)
    clips = read_heard(heard)
    # The manifests are of all classes, also of those that nobody listened for.
    judged = {
        name: (bags, judged_clips(bags, clips, classes[name]))
        for name, bags in zip(study.classes, bags_of_classes(manifests, study), strict=True)
        if name in classes
    }
    study = dataclasses.replace(study, classes=[*judged])
    table = judge_runs(runs, judged)
    write_frame(folder / "truth.csv", table)
    write_text(folder / "truth.md", _text(as_metrics(table, study), study, len(clips)))


def _text(table: pd.DataFrame, study: Study, listed: int) -> str:
    """The tables as Markdown."""
    n_seeds = table["seed"].nunique()
    blocks = [
        f"# {escape(study.title)}: judged by listening",
        f"{table['clips'].max()} of the {listed} clips of the list are test clips. Models and"
        " labels are judged on exactly these, in two ways: by the labels of the data set, and by"
        " what people heard.",
        "## Labels versus listening",
        "Test clips by whether the label says that they are positive, and whether people heard"
        " the class. Only heard: the label is missing.",
        _counts(table, study),
        "## Models",
    ]
    half_width = " ± half-width of the 95% Student-t interval" if n_seeds > 1 else ""
    for metric in ("ap_labels", "ap_heard"):
        blocks += [
            f"{METRICS[metric]}, mean{half_width} over {seeds_phrase(n_seeds)}; ROC-AUC is in"
            " truth.csv.",
            _means(table, study, metric),
        ]
    blocks += ["## Differences", *_differences(table, study, n_seeds)]
    blocks += [
        "## False negatives",
        "Share of clips in which people heard the class among the"
        f" {' and the '.join(map(str, FIRST))} negatives that a model scores highest, mean over"
        f" {seeds_phrase(n_seeds)}; base rate: that share among all negatives.",
        _precision(table, study),
    ]
    if study.note:
        blocks.append(study.note)
    return "\n\n".join(blocks) + "\n"


def _counts(table: pd.DataFrame, study: Study) -> str:
    first = table.drop_duplicates("class").set_index("class").loc[study.classes]
    return markdown_table(
        ["Class", "Clips", "Both", "Only labelled", "Only heard", "Neither"],
        [[escape(name), *(f"{n:,}" for n in row[COUNTS])] for name, row in first.iterrows()],
    )


def _means(table: pd.DataFrame, study: Study, metric: str) -> str:
    means = intervals(table, metric).set_index(["class", "strategy"])

    def cell(name: str, strategy: str) -> str:
        row = means.loc[(name, strategy)]
        return number(row["mean"]) + plus_minus(row["mean"], row["high"])

    strategies = list(study.distinct)
    return markdown_table(
        ["Class", *map(study.joint_name, strategies)],
        [
            [escape(name), *(cell(name, strategy) for strategy in strategies)]
            for name in (*study.classes, MEAN_OVER_CLASSES)
        ],
    )


def _differences(table: pd.DataFrame, study: Study, n_seeds: int) -> list[str]:
    compared = {metric: compare(table, study, metric).set_index("strategy") for metric in METRICS}
    strategies = compared["ap_labels"].index
    baseline = study.display_name(study.baseline)
    if not len(strategies):
        return [f"Nothing to compare: {baseline} is the only strategy."]

    def cell(row: pd.Series) -> str:
        bounds = interval(row["difference_low"], row["difference_high"], signed_number)
        return f"{signed_number(row['difference'])}{bounds}, {row['wins']} of {row['classes']}"

    caption = f"Mean difference from {baseline} over classes"
    if len(study.classes) > 1:
        caption += f"; in brackets: {bootstrap_phrase(len(study.classes), n_seeds)}"
    return [
        f"{caption}; then, the number of classes on which it is better.",
        markdown_table(
            ["Strategy", *METRICS.values()],
            [
                [study.joint_name(each), *(cell(of.loc[each]) for of in compared.values())]
                for each in strategies
            ],
        ),
    ]


def _precision(table: pd.DataFrame, study: Study) -> str:
    strategies = list(study.distinct)
    means = table.groupby(["class", "strategy"])[PRECISION].mean()
    means = pd.concat(
        [means, pd.concat({MEAN_OVER_CLASSES: means.groupby(level="strategy").mean()})]
    )
    base = table.groupby("class")["base_rate"].first()
    base[MEAN_OVER_CLASSES] = base.mean()
    return markdown_table(
        ["Class", "Base rate", *map(study.joint_name, strategies)],
        [
            [
                escape(name),
                percentage(base[name]),
                *(", ".join(map(percentage, means.loc[(name, each)])) for each in strategies),
            ]
            for name in (*study.classes, MEAN_OVER_CLASSES)
        ],
    )
