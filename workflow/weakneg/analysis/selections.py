"""What the strategies of a study chose: the selections of its runs, and the bags they are of."""

import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from weakneg.analysis.runs import Run
from weakneg.analysis.study import Study
from weakneg.bags.manifest import (
    CLIP_COLUMNS,
    GROUP_COLUMN,
    LABEL_SEPARATOR,
    manifest_lines,
    read_manifest,
)
from weakneg.bags.split import split_validation
from weakneg.errors import UserError

_PADDING = -1


@dataclass(frozen=True)
class ClassBags:
    """The bags of a class, B in all: those of a manifest's draws one after the other.

    manifest : for messages
    draw, bag : (B,) the draw of a bag and its number in it
    label : (B,) 0 or 1
    group : (B,) names of what bags have in common; None: each is alone
    clips : id, start and labels (a list of names) of each bag; None where bags are of images
    related_classes : names; None where the data set does not know them
    related : (B,) bool, which bags carry a label of them; None as above
    """

    manifest: Path
    draw: np.ndarray
    bag: np.ndarray
    label: np.ndarray
    group: np.ndarray | None = None
    clips: pd.DataFrame | None = None
    related_classes: Set[str] | None = None
    related: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.bag)

    def labels_of(self, row: int) -> list[str]:
        """The names of a clip's classes; none of a bag of images, whose classes are not known."""
        labels: list[str] = [] if self.clips is None else self.clips["labels"][row]
        return labels


class Selections(NamedTuple):
    """What a strategy chose for a class and a seed, E times, out of a pool of N bags.

    pool : (N,) row numbers of `ClassBags`
    epoch : (E,) ascending
    chosen : (E, N) bool; no row is empty
    place : (N,) sum of a bag's places in the order of choice, from 0 (first) to 1
    score : (N,) sum of the scores with which a bag was chosen; NaN where a strategy has none
    candidates : number of bags that a selection is from: N, or a share of them, drawn for each
        epoch, the same for all strategies (but no less than were chosen)
    """

    pool: np.ndarray
    epoch: np.ndarray
    chosen: np.ndarray
    place: np.ndarray
    score: np.ndarray
    candidates: int


def bags_of_classes(
    manifests: Sequence[str | Path],
    study: Study,
    related_classes: Mapping[str, Set[str]] | None = None,
) -> Iterator[ClassBags]:
    """The bags of each class of the study, in its order.

    related_classes : those of a data set that knows them, see `weakneg.datasets.Dataset`
    """
    wanted = 1 if study.of_clips else len(study.classes)
    if len(manifests) != wanted:
        of_what = "all clips" if study.of_clips else "each of its classes"
        raise UserError(
            f"Study {study.name}: {len(manifests)} manifests are named where it has {wanted};"
            f" name the training manifest of {of_what}."
        )
    if study.of_clips:
        yield from _clip_bags(Path(manifests[0]), study, related_classes)
        return
    for path in map(Path, manifests):
        # Which images are in a bag does not matter here.
        draws = read_manifest(path, n_instances=sys.maxsize)
        yield ClassBags(
            manifest=path,
            draw=np.repeat(list(draws), [len(bags) for bags in draws.values()]),
            bag=np.concatenate([bags.bag for bags in draws.values()]),
            label=np.concatenate([bags.label for bags in draws.values()]),
        )


def _clip_bags(
    path: Path, study: Study, related_classes: Mapping[str, Set[str]] | None
) -> Iterator[ClassBags]:
    """As `bags_of_classes`, from the manifest at `path`, which serves all classes."""
    clips = read_clips(path)
    rows: dict[str, list[int]] = {}
    for row, labels in enumerate(clips["labels"]):
        for label in labels:
            rows.setdefault(label, []).append(row)

    def with_label(names: Set[str]) -> np.ndarray:
        found = np.zeros(len(clips), dtype=bool)
        for name in names:
            found[rows.get(name, [])] = True
        return found

    for class_name in study.classes:
        if class_name not in rows:
            raise UserError(
                f"{path} has no clip of the class {class_name!r}: list the clips again."
            )
        related = None if related_classes is None else related_classes.get(class_name, set())
        yield ClassBags(
            manifest=path,
            draw=np.zeros(len(clips), dtype=np.int64),
            bag=clips["bag"].to_numpy(),
            label=with_label({class_name}).astype(np.int8),
            group=clips["group"].to_numpy() if "group" in clips else None,
            clips=clips,
            related_classes=related,
            related=None if related is None else with_label(related),
        )


def read_clips(path: str | Path) -> pd.DataFrame:
    """A manifest of clips: bag (int), id (text), start (seconds), labels (a list of class names),
    and group (text) where it has one.

    Raises UserError, naming the file and the line, where it cannot be read, lacks a column or a
    bag, or where a bag or a start is no number.
    """
    clips = []
    for where, values in manifest_lines(path, CLIP_COLUMNS):
        try:
            bag, start = int(values["bag"]), float(values["start"])
        except ValueError as error:
            raise UserError(f"{where}: {error}; list the clips again.") from error
        labels = [label for label in values["labels"].split(LABEL_SEPARATOR) if label]
        clip = {"bag": bag, "id": values["id"], "start": start, "labels": labels}
        clips.append(clip | {name: values[name] for name in (GROUP_COLUMN,) if name in values})
    return pd.DataFrame(clips)


def selections_of_seeds(
    runs: Mapping[str, Run], bags: ClassBags
) -> Iterator[tuple[int, dict[str, Selections]]]:
    """Each seed of a class's runs, and what each strategy chose for it."""
    for seed in sorted({seed for run in runs.values() for seed in run.seeds}):
        of_seed = {strategy: run for strategy, run in runs.items() if seed in run.seeds}
        first = next(iter(of_seed.values()))  # the runs of a study share these settings
        draw = seed if first.draw_per_seed else 0
        rows = np.flatnonzero(bags.draw == draw)
        if len(rows) == 0:
            raise UserError(
                f"{bags.manifest} has no draw {draw}: delete it, so that bags are drawn again."
            )
        label = bags.label[rows]
        group = None if bags.group is None else bags.group[rows]
        train, _ = split_validation(label, first.validation_fraction, seed, group)
        pool = train[label[train] == 0]
        selections = {}
        for strategy, run in of_seed.items():
            if run.n_pool.get(seed) != len(pool):
                raise UserError(
                    f"{run.folder / 'run.json'}: the pool of seed {seed} has"
                    f" {run.n_pool.get(seed)} bags, but {bags.manifest} gives {len(pool)}; train"
                    " this run again."
                )
            chosen = read_selections(run, seed, len(rows), pool)
            selections[strategy] = chosen._replace(pool=rows[pool])
        yield seed, selections


def read_selections(run: Run, seed: int, n_bags: int, pool: np.ndarray) -> Selections:
    """What a run chose for a seed, without its warm-up, from its selection.h5.

    n_bags : number of bags of the manifest's draw
    pool : (N,) rows of them that could be chosen

    Raises UserError when the file is missing or damaged, or names a bag outside of the pool.
    """
    path = run.folder / "selection.h5"
    if not path.is_file():
        raise UserError(f"{path} does not exist; train this run first.")
    try:
        with h5py.File(path) as file:
            epoch, bags, scores = (
                file[f"seed_{seed}/{name}"][...] for name in ("epoch", "bags", "scores")
            )
        if bags.shape != scores.shape or bags.shape[:-1] != epoch.shape:
            raise ValueError("the arrays do not fit together")
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is damaged or lacks seed {seed}; delete the folder and train this run again."
        ) from error
    # Selections of no bag, of a budget near 0, have nothing to measure.
    kept = (epoch > run.warmup_epochs) & (bags != _PADDING).any(axis=1)
    epoch, bags, scores = epoch[kept], bags[kept], scores[kept]
    again = "the manifest is not that of the training: train this run again."
    if bags.size and not (bags.min() >= _PADDING and bags.max() < n_bags):
        row = bags.max() if bags.max() >= n_bags else bags.min()
        raise UserError(
            f"{path}, seed {seed}: row {row} is beyond the manifest's {n_bags} bags, so {again}"
        )
    # One place more than bags, since the padding, -1, means the last one.
    chosen = np.zeros((len(epoch), n_bags + 1), dtype=bool)
    place, score = np.zeros(n_bags + 1), np.zeros(n_bags + 1)
    for row, ids, values in zip(chosen, bags, scores, strict=True):
        row[ids] = True
        place[ids] += np.arange(len(ids)) / np.count_nonzero(ids != _PADDING)
        score[ids] += values
    chosen = chosen[:, :-1]
    from_pool = chosen[:, pool]
    if np.count_nonzero(from_pool) < np.count_nonzero(chosen):
        outside = np.setdiff1d(np.flatnonzero(chosen.any(axis=0)), pool)[0]
        raise UserError(
            f"{path}, seed {seed}: row {outside} of the manifest is no bag of the pool, so {again}"
        )
    candidates = round(run.candidate_fraction * len(pool))
    return Selections(pool, epoch, from_pool, place[pool], score[pool], candidates)
