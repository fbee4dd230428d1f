"""The table of negative clips that are probably positive, and a text about them."""

import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Json

from weakneg import datasets
from weakneg.analysis.runs import read_run
from weakneg.analysis.selections import bags_of_classes
from weakneg.analysis.study import Study
from weakneg.analysis.suspects import (
    CHECKED,
    COLUMNS,
    TOP,
    precision,
    suspect_rows,
    suspects,
)
from weakneg.analysis.truth import judged_clips, read_scores
from weakneg.datasets import Dataset
from weakneg.datasets.listened import read_heard
from weakneg.io.csv import write_frame
from weakneg.io.files import replace_when_whole
from weakneg.report.formatting import percentage
from weakneg.report.markdown import escape, markdown_table
from weakneg.stages import StrategyRun, stage

SHOWN = 5  # suspects per class in the text


@stage
def list_suspects(
    runs: list[StrategyRun],
    manifests: list[Path],
    settings: Json[dict[str, Any]],
    dataset: str,
    data_folder: Path,
    folder: Path,
    classes: Json[dict[str, dict[str, list[str]]]],
    heard: Path | None = None,
) -> None:
    """List the test clips of each class that are probably missing its label.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run; strategies that choose the same bags share a folder.
    manifests : list of Path
        The manifests of the test clips, which no model trained on.
    settings : dict
        The study as it is reported.
    dataset : str
        Name of the data set, which may define the URL of a clip and which classes are related.
    data_folder : Path
        Folder of the files of the data set.
    folder : Path
        Folder to write to: suspects.csv and suspects.md.
    classes : dict
        How each class that people listened for is judged.
    heard : Path
        The list of what people heard in test clips, if there is one.

    Raises
    ------
    UserError
        When a run, a manifest or a list is missing or damaged.
    """
    study = Study.of(settings)
    data = datasets.load(dataset)
    link = data.link if isinstance(data, Dataset) else None
    find_related = data.related_classes if isinstance(data, Dataset) else None
    related = None if find_related is None else find_related(data_folder)
    folders: dict[str, dict[Path, None]] = {name: {} for name in study.classes}
    for _, run in runs:  # strategies that share a run are one model
        folders[read_run(run)["class"]].setdefault(run)
    clips = [] if heard is None else read_heard(heard)
    rows, precisions = [], {}
    for name, bags in zip(study.classes, bags_of_classes(manifests, study, related), strict=True):
        scores = np.concatenate([read_scores(run, bags)[1] for run in folders[name]])
        ranked = suspects(scores, bags.label)
        judged = judged_clips(bags, clips, classes[name]) if name in classes else None
        rows += suspect_rows(name, bags, ranked, link, judged)
        if judged is not None:
            precisions[name] = precision(ranked, judged)
    table = pd.DataFrame(rows, columns=COLUMNS)
    write_frame(folder / "suspects.csv", table)
    with replace_when_whole(folder / "suspects.md") as temporary:
        text = "\n\n".join(_blocks(table, precisions, study)) + "\n"
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _blocks(
    table: pd.DataFrame, precisions: Mapping[str, Sequence[float]], study: Study
) -> list[str]:
    blocks = [
        f"# {escape(study.title)}: negatives that may be missing a label",
        "For each class, the test clips without its label that are most likely to be positive;"
        f" suspects.csv lists {TOP}. No model trained on them; the probability is the mean over the"
        " models of all strategies and seeds. Listen to them: some are missing labels, others are"
        " sounds that models confuse with the class. A label in **bold** implies the class or is"
        " implied by it.",
    ]
    if precisions:
        header = ["Class", *(f"First {n}" for n in CHECKED), "All negatives"]
        body = [[escape(name), *map(percentage, shares)] for name, shares in precisions.items()]
        blocks += [
            "Share in which people heard the class, among the first suspects that they listened to"
            " (people listened to some of the clips only), and among all such negatives:",
            markdown_table(header, body),
        ]
    for name in study.classes:
        of_class = table[table["class"] == name].head(SHOWN)
        lines = [_line(row) for _, row in of_class.iterrows()]
        blocks.append("\n".join([f"## {escape(name)}", "", *lines]))
    return blocks


def _line(row: pd.Series) -> str:
    """A suspect, as an item of a list."""
    clip = escape(row["id"])
    if row["link"]:
        # Quote again, so that no character ends the Markdown link early; % keeps what is quoted.
        clip = f"[{clip}]({urllib.parse.quote(row['link'], safe=':/?&=%#+,;@~')})"
    else:
        clip += f" at {row['start']:g} s"
    related = row["related_labels"].split(";")
    labels = [
        f"**{escape(label)}**" if label in related else escape(label)
        for label in row["other_labels"].split(";")
        if label
    ]
    text = f"{row['rank']}. {clip}, probability {row['probability']:.2f}"
    text += {1: ", heard", 0: ", not heard"}.get(row["heard"], "")
    return text + (f": {'; '.join(labels)}" if labels else "")
