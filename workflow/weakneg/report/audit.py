"""Audit of the selections: which negative bags each strategy chose, epoch after epoch.

The measures are defined in `weakneg.analysis.selection_measures` and
`weakneg.analysis.most_selected`. Strategies that share a run count as one (`Study.distinct`). The
selections of the warm-up are left out, since they are random for every strategy.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Json

from weakneg import datasets
from weakneg.analysis import most_selected
from weakneg.analysis.most_selected import Counts, pooled
from weakneg.analysis.runs import runs_of_classes
from weakneg.analysis.selection_measures import (
    EFFECTIVE_COLUMN,
    OVERLAP_COLUMNS,
    TURNOVER_COLUMNS,
    by_training,
    over_trainings,
    overlaps,
    turnovers,
)
from weakneg.analysis.selections import bags_of_classes, selections_of_seeds
from weakneg.analysis.study import Study
from weakneg.datasets import Dataset
from weakneg.io.csv import write_frame
from weakneg.io.files import replace_when_whole
from weakneg.io.progress import Progress
from weakneg.report.audit_text import audit_text, class_section
from weakneg.stages import StrategyRun, stage


@stage
def audit_selections(
    runs: list[StrategyRun],
    manifests: list[Path],
    settings: Json[dict[str, Any]],
    dataset: str,
    data_folder: Path,
    folder: Path,
) -> None:
    """Write the audit of a study's selections: three tables and a summary.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run; strategies that choose the same bags share a folder.
    manifests : list of Path
        The training manifest of each class of the study, in its order; one for all classes if a bag
        is a clip.
    settings : dict
        The study as it is reported.
    dataset : str
        Name of the data set, which may define the URL of a clip and which classes are related.
    data_folder : Path
        Folder of the files of the data set.
    folder : Path
        Folder to write to: selection_overlap.csv, selection_turnover.csv, most_selected.csv and
        selection.md.

    Raises
    ------
    UserError
        When a run, a file of it or a manifest is missing or damaged, or when the selections do not
        match the manifest.

    Notes
    -----
    `n` in the first two tables is the number of (class, seed) pairs in a mean: seeds may stop at
    different epochs. most_selected.csv contains only strategies that score the bags they choose,
    since choosing bags at random, or all of them, says nothing about a bag.
    """
    study = Study.of(settings)
    any_unknown = any_weights = False
    data = datasets.load(dataset)
    link = data.link if isinstance(data, Dataset) else None
    find_related = data.related_classes if isinstance(data, Dataset) else None
    related = None if find_related is None else find_related(data_folder)
    pairs, selected, rows, sections = [], [], [], []
    classes = zip(
        runs_of_classes(runs, study).items(),
        bags_of_classes(manifests, study, related),
        strict=True,
    )
    with Progress("auditing", len(study.classes), "classes") as progress:
        for (class_name, of_class), bags in classes:
            counts = {strategy: Counts(len(bags)) for strategy in of_class}
            for seed, selections in selections_of_seeds(of_class, bags):
                training = {"class": class_name, "seed": seed}
                pairs += [training | frame for frame in overlaps(selections)]
                selected += [training | frame for frame in turnovers(selections, bags)]
                for strategy, chosen in selections.items():
                    counts[strategy].add(chosen)
                    any_weights |= chosen.effective is not None
            rows += most_selected.most_selected(class_name, bags, counts, link)
            any_unknown |= bags.unknown is not None
            scored = pooled(counts.values(), len(bags))
            sections.append(class_section(class_name, bags, scored, link))
            progress.add()

    by_pair = by_training(pairs, OVERLAP_COLUMNS, study)
    turnover_columns = [*TURNOVER_COLUMNS, *[EFFECTIVE_COLUMN] * any_weights]
    by_strategy = by_training(selected, turnover_columns, study)
    columns = [*most_selected.COLUMNS, *[most_selected.UNKNOWN_COLUMN] * any_unknown]
    tables = {
        "selection_overlap": over_trainings(by_pair, OVERLAP_COLUMNS),
        "selection_turnover": over_trainings(by_strategy, turnover_columns),
        "most_selected": pd.DataFrame(rows, columns=columns),
    }
    for name, table in tables.items():
        write_frame(folder / f"{name}.csv", table)
    with replace_when_whole(folder / "selection.md") as temporary:
        text = audit_text(by_pair, by_strategy, sections, study, any_unknown)
        temporary.write_text(text, encoding="utf-8", newline="\n")
