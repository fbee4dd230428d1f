"""Audit of the selections: which negative bags each strategy chose, epoch after epoch.

Measures of the selections of one class and seed, each beside what uniformly random choices of the
same sizes, from the same pool or candidates, give on average (`expected_...`, exact):

- Jaccard index of the bags that two strategies chose at the same epoch;
- turnover: share of a selection's bags that were not in the selection before it;
- used: share of the pool that has been chosen at least once so far (distinct: number of bags);
- returns: how often a selection's bags had been chosen before, mean over its bags;
- related: share of a selection's bags that carry a label related to the class, one that implies it
  or that it implies. A clip tagged "Dog" but not "Animal" lacks a label of "Animal".

Strategies that share a run are one (`weakneg.analysis.study.distinct_strategies`). The selections
of the warm-up are left out, since they are random whatever the strategy.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Json

from weakneg import datasets
from weakneg.analysis.most_selected import TOP, Counts
from weakneg.analysis.runs import runs_of_classes
from weakneg.analysis.selection_measures import MEASURES, jaccard, turnover
from weakneg.analysis.selections import ClassBags, Selections, bags_of_classes, selections_of_seeds
from weakneg.analysis.study import distinct_strategies
from weakneg.bags.manifest import LABEL_SEPARATOR
from weakneg.datasets import Dataset
from weakneg.io.files import replace_when_whole
from weakneg.report.audit_text import audit_text, class_section, identity
from weakneg.stages import StrategyRun, stage

OVERLAP_COLUMNS = ["strategy_a", "strategy_b", "epoch", "jaccard", "expected_jaccard", "n"]
TURNOVER_COLUMNS = [
    "strategy",
    "epoch",
    *(f"{prefix}{measure}" for measure in MEASURES for prefix in ("", "expected_")),
    "n",
]
MOST_SELECTED_COLUMNS = [
    "class",
    "strategy",
    "rank",
    "draw",
    "bag",
    "id",
    "start",
    "link",
    "times",
    "selections",
    "mean_place",
    "mean_score",
    "other_labels",
    "related_labels",
]


@stage
def audit_selections(
    runs: list[StrategyRun],
    manifests: list[Path],
    settings: Json[dict[str, Any]],
    dataset: str,
    data_folder: Path,
    folder: Path,
) -> None:
    """Write the audit of a study's selections: tables, and a text for people.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run; strategies that choose the same bags share a folder.
    manifests : list of Path
        Those of the training bags, one for each class of the study, in its order; one for all
        classes where a bag is a clip.
    settings : dict
        The study as it is reported.
    dataset : str
        Name of the data set, which may know a link to a clip and which classes are related.
    data_folder : Path
        Folder of the files of the data set.
    folder : Path
        Gets selection_overlap.csv, selection_turnover.csv, most_selected.csv and selection.md.

    Notes
    -----
    `n` in the first two tables is the number of (class, seed) pairs that a mean is over: seeds may
    stop at different epochs. most_selected.csv holds only strategies that score the bags they
    choose, since a choice at random or of all says nothing about a bag. `selections` counts those
    at which the bag was in the pool, hence not for validation (with `candidate_fraction`: whether
    or not it was a candidate); `mean_place` is its mean place in the order of choice, from 0
    (first) to 1. The rank is by `times` / `selections`, then by
    `times`, then by `mean_place`, which unlike scores can be compared between epochs.

    Raises
    ------
    UserError
        When a run, a file of it or a manifest is missing or damaged, and when the selections are
        not of the manifest's bags.
    """
    study = settings
    data = datasets.load(dataset)
    link = data.link if isinstance(data, Dataset) else None
    find_related = data.related_classes if isinstance(data, Dataset) else None
    related = None if find_related is None else find_related(data_folder)
    overlaps, turnovers, candidates, sections = [], [], [], []
    classes = zip(
        runs_of_classes(runs, study).items(),
        bags_of_classes(manifests, study, related),
        strict=True,
    )
    for position, ((class_name, of_class), bags) in enumerate(classes, start=1):
        start = time.perf_counter()
        counts = {strategy: Counts(len(bags)) for strategy in of_class}
        for seed, selections in selections_of_seeds(of_class, bags):
            of_seed = {"class": class_name, "seed": seed}
            overlaps += [of_seed | each for each in _overlaps(selections)]
            turnovers += [of_seed | each for each in _turnovers(selections, bags)]
            for strategy, chosen in selections.items():
                counts[strategy].add(chosen)
        rows, section = _most_selected(class_name, bags, counts, link)
        candidates += rows
        sections.append(section)
        print(
            f"class {position}/{len(study['classes'])}  {class_name}"
            f"  {time.perf_counter() - start:.1f} s",
            file=sys.stderr,
            flush=True,
        )

    order = pd.CategoricalDtype(list(distinct_strategies(study)), ordered=True)
    by_pair = _long(overlaps, ["class", "seed", *OVERLAP_COLUMNS[:-1]], order)
    by_strategy = _long(turnovers, ["class", "seed", *TURNOVER_COLUMNS[:-1]], order)
    tables = {
        "selection_overlap": _means(by_pair, OVERLAP_COLUMNS),
        "selection_turnover": _means(by_strategy, TURNOVER_COLUMNS),
        "most_selected": pd.DataFrame(candidates, columns=MOST_SELECTED_COLUMNS),
    }
    for name, table in tables.items():
        with replace_when_whole(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    with replace_when_whole(folder / "selection.md") as temporary:
        text = audit_text(by_pair, by_strategy, sections, study)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _overlaps(selections: Mapping[str, Selections]) -> Iterator[dict]:
    """Each two strategies, at the epochs at which both chose, as frames for `_long`."""
    for (name_a, a), (name_b, b) in itertools.combinations(selections.items(), 2):
        epoch, in_a, in_b = np.intersect1d(a.epoch, b.epoch, return_indices=True)
        index, expected = jaccard(a.chosen[in_a], b.chosen[in_b], a.candidates)
        yield {
            "strategy_a": name_a,
            "strategy_b": name_b,
            "epoch": epoch,
            "jaccard": index,
            "expected_jaccard": expected,
        }


def _turnovers(selections: Mapping[str, Selections], bags: ClassBags) -> Iterator[dict]:
    """Each strategy, as frames for `_long`."""
    for strategy, each in selections.items():
        related = None if bags.related is None else bags.related[each.pool]
        measures = turnover(each.chosen, related)
        yield {"strategy": strategy, "epoch": each.epoch, **measures}


def _most_selected(
    class_name: str,
    bags: ClassBags,
    counts: Mapping[str, Counts],
    link: Callable[[str, float], str] | None,
) -> tuple[list[dict], str]:
    """Rows of most_selected.csv of a class, and its section of selection.md."""
    scored = {strategy: each for strategy, each in counts.items() if each.scored}
    rows = []
    for strategy, each in scored.items():
        for rank, row in enumerate(each.top(TOP).tolist(), start=1):
            labels = bags.clips["labels"][row] if bags.clips is not None else []
            rows.append(
                {
                    "class": class_name,
                    "strategy": strategy,
                    "rank": rank,
                    "draw": bags.draw[row],
                    "bag": bags.bag[row],
                    **identity(bags, row, link),
                    "times": each.times[row],
                    "selections": each.selections[row],
                    "mean_place": each.place[row] / each.times[row],
                    "mean_score": each.score[row] / each.times[row],
                    "other_labels": LABEL_SEPARATOR.join(labels),
                    "related_labels": LABEL_SEPARATOR.join(
                        label for label in labels if label in (bags.related_classes or ())
                    ),
                }
            )
    pooled = Counts(len(bags))
    for each in scored.values():
        pooled.times += each.times
        pooled.selections += each.selections
        pooled.place += each.place
    return rows, class_section(class_name, bags, pooled, link)


# ----------------------------------------------------------------------------- tables
def _long(
    frames: Sequence[Mapping], columns: Sequence[str], strategies: pd.CategoricalDtype
) -> pd.DataFrame:
    """One row for every epoch of every frame, whose other values are arrays (E,) or repeated."""
    if not frames:
        return pd.DataFrame(columns=list(columns), dtype=np.float64)
    table = pd.DataFrame(
        {
            column: np.concatenate(
                [np.broadcast_to(frame[column], frame["epoch"].shape) for frame in frames]
            )
            for column in columns
        }
    )
    return table.astype({name: strategies for name in columns if name.startswith("strategy")})


def _means(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means over classes and seeds at each epoch, and the number of them, as `columns`."""
    keys = columns[: columns.index("epoch") + 1]
    groups = table.groupby(keys, observed=True)
    return groups.mean(numeric_only=True).assign(n=groups.size()).reset_index()[columns]
