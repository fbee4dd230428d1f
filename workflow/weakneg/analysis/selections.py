"""The selections of a study's runs, and the bags to which they refer."""

import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from weakneg.analysis.runs import Run
from weakneg.analysis.study import Study
from weakneg.bags.draw import UNKNOWN
from weakneg.bags.manifest import (
    CLIP_COLUMNS,
    GROUP_COLUMN,
    LABEL_SEPARATOR,
    NEGATIVES_COLUMN,
    manifest_lines,
    read_manifest,
)
from weakneg.bags.split import split_validation
from weakneg.errors import UserError
from weakneg.io.hdf5 import open_file

_PADDING = -1


@dataclass(frozen=True)
class ClassBags:
    """The B bags of a class: all draws of a manifest, one after another.

    Attributes
    ----------
    manifest : Path
        The manifest, for error messages.
    draw, bag : ndarray, (B,) int64
        Draw of a bag and its number in the draw.
    label : ndarray, (B,) int8
        0, 1 or `weakneg.bags.draw.UNKNOWN`.
    group : ndarray, (B,) str, optional
        Names of the groups of bags that are split together; None if each bag is a group.
    clips : DataFrame, optional
        Id, start and labels (a list of names) of each bag; None for bags of images.
    related_classes : set of str, optional
        Classes that imply the class or are implied by it; None if the data set does not define
        them.
    related : ndarray, (B,) bool, optional
        The bags with a label among these.
    """

    manifest: Path
    draw: np.ndarray
    bag: np.ndarray
    label: np.ndarray
    group: np.ndarray | None = None
    clips: pd.DataFrame | None = None
    related_classes: Set[str] | None = None
    related: np.ndarray | None = None

    @property
    def unknown(self) -> np.ndarray | None:
        """The bags (B,) bool that are unknown; None if there are none."""
        unknown = self.label == UNKNOWN
        return unknown if unknown.any() else None

    def __len__(self) -> int:
        return len(self.bag)

    def labels_of(self, row: int) -> list[str]:
        """The classes of a clip; empty for a bag of images, whose classes are not known."""
        labels: list[str] = [] if self.clips is None else self.clips["labels"][row]
        return labels


class Selections(NamedTuple):
    """The E selections of a strategy for a class and a seed, from a pool of N bags.

    Attributes
    ----------
    pool : ndarray, (N,) int64
        Row numbers in `ClassBags`.
    epoch : ndarray, (E,) int
        Epochs of the selections, ascending.
    chosen : ndarray, (E, N) bool
        The chosen bags; no row is empty.
    place : ndarray, (N,) float64
        Sum of a bag's places in the order of choice, from 0 (first) to 1.
    score : ndarray, (N,) float64
        Sum of the scores with which a bag was chosen; NaN if the strategy has no score.
    candidates : int
        Number of bags that a selection is from: N, or a share of them that is drawn for each epoch
        and is the same for all strategies. A strategy may choose more bags than that.
    effective : ndarray, (E,) float64, optional
        Kish's effective number of the k bags chosen, per bag: (sum of w)^2 / (k sum of w^2) for
        their weights w. None if the strategy gives no weights.
    """

    pool: np.ndarray
    epoch: np.ndarray
    chosen: np.ndarray
    place: np.ndarray
    score: np.ndarray
    candidates: int
    effective: np.ndarray | None = None


def bags_of_classes(
    manifests: Sequence[str | Path],
    study: Study,
    related_classes: Mapping[str, Set[str]] | None = None,
) -> Iterator[ClassBags]:
    """Read the bags of each class of a study.

    Parameters
    ----------
    manifests : sequence of str or Path
        The manifest of each class, in the study's order; a single one may serve all classes if a
        bag is a clip.
    study : Study
        The study.
    related_classes : mapping, optional
        Class -> its related classes, if the data set defines them: see `weakneg.datasets.Dataset`.

    Yields
    ------
    ClassBags
        The bags of a class, in the study's order.

    Raises
    ------
    UserError
        When the number of manifests is wrong, or one is missing or damaged.
    """
    if study.of_clips and len(manifests) == 1:
        yield from _clip_bags(Path(manifests[0]), study.classes, related_classes)
        return
    if len(manifests) != len(study.classes):
        of_what = ", or the one of all clips" if study.of_clips else ""
        raise UserError(
            f"Study {study.name}: {len(manifests)} manifests are named, but it has "
            f"{len(study.classes)}; name the manifest of each of its classes{of_what}."
        )
    if study.of_clips:
        for class_name, manifest in zip(study.classes, manifests, strict=True):
            yield from _clip_bags(Path(manifest), [class_name], related_classes)
        return
    for path in map(Path, manifests):
        # The images in a bag do not matter here.
        draws = read_manifest(path, n_instances=sys.maxsize)
        yield ClassBags(
            manifest=path,
            draw=np.repeat(list(draws), [len(bags) for bags in draws.values()]),
            bag=np.concatenate([bags.bag for bags in draws.values()]),
            label=np.concatenate([bags.label for bags in draws.values()]),
        )


def _clip_bags(
    path: Path, classes: Sequence[str], related_classes: Mapping[str, Set[str]] | None
) -> Iterator[ClassBags]:
    """As for `bags_of_classes`, from a manifest of clips that serves these classes."""
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

    for class_name in classes:
        if class_name not in rows:
            raise UserError(
                f"{path} has no clip of the class {class_name!r}: list the clips again."
            )
        related = None if related_classes is None else related_classes.get(class_name, set())
        yield ClassBags(
            manifest=path,
            draw=np.zeros(len(clips), dtype=np.int64),
            bag=clips["bag"].to_numpy(),
            label=_labels(clips, class_name, with_label({class_name})),
            group=clips["group"].to_numpy() if "group" in clips else None,
            clips=clips,
            related_classes=related,
            related=None if related is None else with_label(related),
        )


def _labels(clips: pd.DataFrame, class_name: str, positive: np.ndarray) -> np.ndarray:
    """The labels of a class, for the clips of a manifest."""
    if NEGATIVES_COLUMN not in clips:
        return positive.astype(np.int8)
    negative = np.array([class_name in names for names in clips[NEGATIVES_COLUMN]])
    return np.where(positive, 1, np.where(negative, 0, UNKNOWN)).astype(np.int8)


def read_clips(path: str | Path) -> pd.DataFrame:
    """Read a manifest of clips.

    Parameters
    ----------
    path : str or Path
        The manifest.

    Returns
    -------
    DataFrame
        Columns bag (int), id (str), start (seconds), labels (list of class names), and, if the
        manifest has them, negatives (a list as well) and group (str).

    Raises
    ------
    UserError
        When the manifest cannot be read or lacks a column or a bag, or when a bag or a start is not
        a number; the message names the file and the line.
    """
    clips = []
    for where, values in manifest_lines(path, CLIP_COLUMNS):
        try:
            bag, start = int(values["bag"]), float(values["start"])
        except ValueError as error:
            raise UserError(f"{where}: {error}; list the clips again.") from error
        clip: dict[str, Any] = {"bag": bag, "id": values["id"], "start": start}
        for column in ("labels", NEGATIVES_COLUMN):
            if column in values:
                clip[column] = [name for name in values[column].split(LABEL_SEPARATOR) if name]
        clips.append(clip | {name: values[name] for name in (GROUP_COLUMN,) if name in values})
    return pd.DataFrame(clips)


def selections_of_seeds(
    runs: Mapping[str, Run], bags: ClassBags
) -> Iterator[tuple[int, dict[str, Selections]]]:
    """Read the selections of a class's runs, seed by seed.

    Parameters
    ----------
    runs : mapping
        Strategy -> its run for the class.
    bags : ClassBags
        The bags of the class.

    Yields
    ------
    seed : int
        A seed.
    selections : dict
        Strategy -> what it chose.

    Raises
    ------
    UserError
        When a selection.h5 is missing or damaged, or does not match the manifest.
    """
    for seed in sorted({seed for run in runs.values() for seed in run.seeds}):
        of_seed = {strategy: run for strategy, run in runs.items() if seed in run.seeds}
        first = next(iter(of_seed.values()))  # all runs of a study share these settings
        draw = seed if first.draw_per_seed else 0
        rows = np.flatnonzero(bags.draw == draw)
        if len(rows) == 0:
            raise UserError(
                f"{bags.manifest} has no draw {draw}: delete it and run again to draw the bags."
            )
        label = bags.label[rows]
        group = None if bags.group is None else bags.group[rows]
        train, _ = split_validation(label, first.validation_fraction, seed, group)
        pool = train[label[train] != 1]
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
    """Read the selections of a run for a seed, without the warm-up, from its selection.h5.

    Parameters
    ----------
    run : Run
        The run.
    seed : int
        The seed.
    n_bags : int
        Number of bags in the draw.
    pool : ndarray, (N,) int
        Their row numbers that are in the pool.

    Returns
    -------
    Selections
        The selections; their `pool` is that given.

    Raises
    ------
    UserError
        When the file is missing or damaged, or names a bag that is not in the pool.
    """
    path = run.folder / "selection.h5"
    if not path.is_file():
        raise UserError(f"{path} does not exist; train this run first.")
    again = "delete the folder and train this run again"
    try:
        with open_file(path, again) as file:
            epoch, bags, scores = (
                file[f"seed_{seed}/{name}"][...] for name in ("epoch", "bags", "scores")
            )
            given = file.get(f"seed_{seed}/weights")
            weights = np.ones(bags.shape) if given is None else given[...]
        if not bags.shape == scores.shape == weights.shape or bags.shape[:-1] != epoch.shape:
            raise ValueError("the shapes of the arrays do not match")
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged or lacks seed {seed}: {again}.") from error
    # An empty selection, from a budget near 0, has nothing to measure.
    kept = (epoch > run.warmup_epochs) & (bags != _PADDING).any(axis=1)
    epoch, bags, scores, weights = epoch[kept], bags[kept], scores[kept], weights[kept]
    again = "it was trained with another manifest: train this run again."
    if bags.size and not (bags.min() >= _PADDING and bags.max() < n_bags):
        row = bags.max() if bags.max() >= n_bags else bags.min()
        raise UserError(
            f"{path}, seed {seed}: the manifest has {n_bags} bags, but no row {row}, so {again}"
        )
    # One place more than there are bags: the padding, -1, indexes the last.
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
            f"{path}, seed {seed}: row {outside} of the manifest is not in the pool, so {again}"
        )
    candidates = round(run.candidate_fraction * len(pool))
    effective = None if given is None else _effective(weights.astype(np.float64))
    return Selections(pool, epoch, from_pool, place[pool], score[pool], candidates, effective)


def _effective(weights: np.ndarray) -> np.ndarray:
    """Of weights (E, k), padded with NaN: see `Selections`."""
    share: np.ndarray = np.nanmean(weights, axis=1) ** 2 / np.nanmean(weights**2, axis=1)
    return share
