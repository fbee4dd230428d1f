"""The page of a study: one file, without links to others, that any browser opens."""

import json
from pathlib import Path
from typing import Any

from pydantic import Json

from weakneg.analysis.metrics import METRICS
from weakneg.config.report import PageSettings
from weakneg.io.files import replace_when_whole
from weakneg.report.page.charts import OUTCOMES, outline
from weakneg.report.page.content import Page, made_with
from weakneg.report.page.render import figure, render
from weakneg.report.partial import MEMORY, TREATED
from weakneg.stages import StrategyRun, stage


@stage
def write_report(
    metrics: Path,
    tables: list[Path],
    figures: list[Path],
    settings: PageSettings,
    captions: Json[dict[str, str]],
    command: str,
    output: Path,
    *,
    runs: list[StrategyRun] | None = None,
    sounds: Path | None = None,
    provenance: Json[dict[str, Any]] | None = None,
) -> None:
    """Write the page of a study.

    Parameters
    ----------
    metrics : Path
        The metrics of all runs.
    tables : list of Path
        The tables of the study; the page shows the CSV files that it knows.
    figures : list of Path
        Its figures, as SVG.
    settings : PageSettings
        The study as it is reported, and its configuration.
    captions : dict
        Figure -> its caption.
    command : str
        The command that makes the study again.
    output : Path
        HTML file to write.
    runs : list of (str, Path)
        Strategy and folder of each run, for learning curves and versions.
    sounds : Path
        The sound of the clips that tables list, see `weakneg.report.sounds.cut_sounds`.
    provenance : dict
        The record of a published study, in place of what the runs say.

    Raises
    ------
    UserError
        When a file is missing, damaged or incomplete.
    """
    page = Page(metrics, {path.stem: path for path in tables if path.suffix == ".csv"}, settings)
    curves = page.curves(runs or [])
    text = render(
        "page.html",
        page=page,
        study=page.study,
        question=QUESTION_OF_LABELS if page.study.methods else QUESTION,
        words=WORDS_OF_LABELS if page.study.methods else WORDS,
        memory_text=MEMORY,
        treatment_text=TREATED,
        metrics=METRICS,
        outcomes={name: (colour, outline("s")) for name, colour in OUTCOMES.items()},
        summary=page.summary,
        specifications=page.specifications,
        data=page.data(curves),
        curves=curves,
        made_with=made_with(page.metrics, runs or [], provenance),
        command=command,
        sounds={} if sounds is None else json.loads(sounds.read_text(encoding="utf-8")),
        figures=[figure(path, captions.get(path.stem, path.stem)) for path in figures],
    )
    with replace_when_whole(output) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


QUESTION = "Which negative bags should a classifier of weakly labelled data train on?"
WORDS = [
    ("Bag", "What has a label: a group of images or a clip of sound. Which part of it the label is"
     " about is not known."),
    ("Pool", "All negative bags of a class, of which a strategy chooses."),
    ("Budget", "How many negative bags an epoch trains on."),
    ("Strategy", "How they are chosen. The baseline is what the others are compared with; the"
     " upper bound trains on all negatives and does not compete."),
    ("Seed", "The start of the random numbers. Runs with the same seed share bags, validation split"
     " and initial weights, so differences are paired by seed."),
    ("AP", "Average precision, the area under the curve of precision against recall. A random"
     " ranking has the share of positive bags."),
    ("ROC-AUC", "Probability that a positive bag is scored higher than a negative one; .5 for a"
     " random ranking."),
    ("95% interval", "In 95 of 100 repetitions, such an interval contains the true value. In"
     " tables, ± is half of the interval over seeds, and brackets are an interval over classes and"
     " seeds."),
    ("Clear", "The 95% interval over seeds of a class's difference excludes zero. With many"
     " classes, some do by chance."),
    ("p, Holm", "Probability of a difference at least as large if there were none; corrected for"
     " the number of strategies compared."),
]  # fmt: skip

QUESTION_OF_LABELS = "Which of the labels that are assumed to be negative should training believe?"
WORDS_OF_LABELS = [
    WORDS[0],
    ("Observed label", "One that training knows. All others are hidden from it, and it takes them"
     " for negative."),
    ("Hidden positive", "A positive label that training takes for negative: a false negative."),
    ("Method", "What training minimises: a loss, with its options. One model has an output for each"
     " class."),
    ("Naive AN", "The cross-entropy where labels that are not observed are assumed to be negative."
     " The baseline is what others are compared with, where they see the same labels; the upper"
     " bound sees all labels and does not compete."),
    ("G1 to G5", "A fifth of the classes each, by the number of positive labels that the baseline"
     " sees, the rarest first."),
    ("Reject, correct", "Leave a label out of the loss, or take it for positive."),
    ("Precision, recall", "The share of hidden positives among the labels rejected or corrected,"
     " and the share of the hidden positives that are."),
    *(pair for pair in WORDS if pair[0] in ("Seed", "AP", "ROC-AUC")),
    ("95% interval", "In 95 of 100 repetitions, such an interval contains the true value. Over"
     " seeds, it is about other trainings on these classes; over classes, about other classes."),
]  # fmt: skip
