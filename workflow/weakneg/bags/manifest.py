"""Manifests: the bags of a study, as CSV files with one row per bag.

A manifest is the only place that defines the bags. Images have one manifest per class and split,
with the columns

- `draw`: the draw that the bag belongs to (0, or the seed if every seed draws its own bags);
- `bag`: number of the bag, distinct within its draw;
- `label`: 1 for a positive bag, 0 for a negative one, or `unknown`;
- `density`: share of the bag's instances that are positive ("label density"); may be empty for an
  unknown bag;
- `instances`: row numbers (from 0) in the store of the same split, separated by spaces.

Where one model has an output for each class, the bags of images have one manifest per split for all
classes, with `draw`, `bag`, `labels` (names of the classes of its images, separated by semicolons)
and `instances`.

A manifest that a user writes may have bags of different sizes, and unknown ones; where any bag is
unknown, the negative ones were observed.

Clips have one manifest per split for all classes, since each clip is a bag. Its columns are

- `bag`: row number (from 0) of the clip in the store of the same split;
- `id`, `start`: those of the clip in the store, for readers;
- `instances`: number of its frames;
- `labels`: names of its classes, separated by semicolons;
- `negatives`, only where the study says that what is not listed is unknown: names of the classes
  that are known to be absent. The clip is unknown to all classes in neither column;
- `group`, only where clips share one, such as a recording: the validation split never divides a
  group.
"""

import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from weakneg.bags.draw import PADDING, UNKNOWN, Bags, draw, draw_of_all
from weakneg.config.stages import ManifestSettings
from weakneg.datasets.own_lists import label_names
from weakneg.errors import UserError
from weakneg.features.store import Store, open_store
from weakneg.io.csv import read_table, table_writer, write_table
from weakneg.stages import stage

COLUMNS = ("draw", "bag", "label", "density", "instances")
OF_ALL_COLUMNS = ("draw", "bag", "labels", "instances")
CLIP_COLUMNS = ("bag", "id", "start", "instances", "labels")
NEGATIVES_COLUMN = "negatives"
GROUP_COLUMN = "group"
LABEL_SEPARATOR = ";"

_UNKNOWN = "unknown"  # the label of a bag of images
_AGAIN = "draw the bags again, or correct it"

_Row = tuple[int, int, float, list[int]]  # bag, label, density, instances


def write_manifest(path: str | os.PathLike[str], draws: Mapping[int, Bags]) -> None:
    """Write the manifest of a class of images and a split, whole or not at all.

    Parameters
    ----------
    path : path
        The manifest.
    draws : mapping of int to Bags
        Bags by number of their draw.
    """
    with table_writer(path, COLUMNS) as writer:
        for draw_number, bags in draws.items():
            for bag, label, density, instances, mask in zip(
                bags.bag.tolist(),
                bags.label.tolist(),
                bags.density.tolist(),
                bags.instances,
                bags.mask,
                strict=True,
            ):
                rows = " ".join(map(str, instances[mask].tolist()))
                said = (_UNKNOWN, "") if label == UNKNOWN else (label, density)
                writer.writerow((draw_number, bag, *said, rows))


def read_manifest(path: str | os.PathLike[str], n_instances: int) -> dict[int, Bags]:
    """Read the manifest of a class of images and a split.

    Parameters
    ----------
    path : path
        The manifest.
    n_instances : int
        Number of instances in the store of the split.

    Returns
    -------
    dict of int to Bags
        Bags by number of their draw, in the order of the file.

    Raises
    ------
    UserError
        Naming the file and the line, when a column is missing, a value is not valid for its column,
        a bag occurs twice in a draw, or an instance is out of range or occurs twice in a draw.
    """
    rows: dict[int, list[_Row]] = {}
    seen: dict[int, tuple[set[int], set[int]]] = {}
    for where, values in manifest_lines(path, COLUMNS):
        try:
            draw_number, bag = (int(values[column]) for column in COLUMNS[:2])
            unknown = values["label"] == _UNKNOWN
            label = UNKNOWN if unknown else int(values["label"])
            density = math.nan if unknown else float(values["density"])
            instances = [int(text) for text in values["instances"].split()]
        except ValueError as error:
            raise UserError(f"{where}: {error}.") from error
        bags_seen, instances_seen = seen.setdefault(draw_number, (set(), set()))
        row = (bag, label, density, instances)
        _check_row(where, row, unknown, n_instances, bags_seen, instances_seen)
        rows.setdefault(draw_number, []).append(row)
    observed = any(label == UNKNOWN for drawn in rows.values() for _, label, _, _ in drawn)
    return {number: _bags(drawn, observed) for number, drawn in rows.items()}


def read_bags(
    path: str | os.PathLike[str], store: Store, classes: str | Sequence[str]
) -> dict[int, Bags]:
    """Read a manifest of images or clips, with the labels of a class or of several.

    Parameters
    ----------
    path : path
        The manifest.
    store : Store
        The feature store of the split.
    classes : str or sequence of str
        The class that labels the bags (B,), where the manifest of images is that of a class; or the
        C classes that label them (B, C), where it is that of all.

    Returns
    -------
    dict of int to Bags
        Bags by number of their draw; clips are one draw, number 0.

    Raises
    ------
    UserError
        Naming the file and the line, when the manifest has a mistake or does not match the store,
        and when the store does not have the class.
    """
    if store.length is None and isinstance(classes, str):
        return read_manifest(path, len(store.x))
    for name in [classes] if isinstance(classes, str) else classes:
        store.positive(name)  # raises for an unknown class
    if store.length is None:
        return _bags_of_all(path, store, classes)
    return {0: _clip_bags(path, store, classes)}


def _bags_of_all(
    path: str | os.PathLike[str], store: Store, classes: Sequence[str]
) -> dict[int, Bags]:
    """Read the manifest of all classes of images, whose columns are `OF_ALL_COLUMNS`."""
    rows: dict[int, list[_Row]] = {}
    labels: dict[int, list[np.ndarray]] = {}
    seen: dict[int, tuple[set[int], set[int]]] = {}
    for where, values in manifest_lines(path, OF_ALL_COLUMNS):
        try:
            number, bag = int(values["draw"]), int(values["bag"])
            instances = [int(text) for text in values["instances"].split()]
        except ValueError as error:
            raise UserError(f"{where}: {error}.") from error
        row = (bag, 0, math.nan, instances)
        _check_row(where, row, True, len(store.x), *seen.setdefault(number, (set(), set())))
        rows.setdefault(number, []).append(row)
        labels.setdefault(number, []).append(_labels(where, values, classes))
    return {
        number: replace(_bags(drawn, False), label=np.stack(labels[number]))
        for number, drawn in rows.items()
    }


def _labels(where: str, values: Mapping[str, str], classes: Sequence[str]) -> np.ndarray:
    """Read the labels (C,) of several classes from a line of a manifest, as `clip_label` does."""
    positive = {*label_names(values["labels"])}
    if NEGATIVES_COLUMN not in values:
        return np.array([name in positive for name in classes], dtype=np.int8)
    negative = {*label_names(values[NEGATIVES_COLUMN])}
    if both := [name for name in classes if name in positive & negative]:
        raise UserError(_is_both(where, both[0]))
    found = [1 if name in positive else 0 if name in negative else UNKNOWN for name in classes]
    return np.array(found, dtype=np.int8)


def _clip_bags(path: str | os.PathLike[str], store: Store, classes: str | Sequence[str]) -> Bags:
    assert store.length is not None
    n_clips, n_frames = store.x.shape[:2]
    clips: list[int] = []
    counts: list[int] = []
    labels: list[int | np.ndarray] = []
    groups: list[str] = []
    negatives_observed = False
    seen: set[int] = set()
    known = {*store.class_names}
    for where, values in manifest_lines(path, CLIP_COLUMNS):
        try:
            clip, count = int(values["bag"]), int(values["instances"])
        except ValueError as error:
            raise UserError(f"{where}: {error}.") from error
        if not 0 <= clip < n_clips:
            raise UserError(
                f"{where}: bag {clip} is not in the feature store, whose rows are 0 to "
                f"{n_clips - 1}."
            )
        if store.id[clip] != values["id"]:
            raise UserError(
                f"{where}: bag {clip} of the feature store is the clip {str(store.id[clip])!r}, "
                f"not {values['id']!r}: list the clips again."
            )
        if clip in seen:
            raise UserError(f"{where}: bag {clip} occurs twice: remove one of the lines.")
        if not 1 <= count <= store.length[clip]:
            raise UserError(
                f"{where}: instances is {count}, but must be from 1 to {store.length[clip]}, the "
                "number of frames of the clip."
            )
        seen.add(clip)
        clips.append(clip)
        counts.append(count)
        labels.append(
            clip_label(where, values, classes)
            if isinstance(classes, str)
            else _labels(where, values, classes)
        )
        for column in ("labels", NEGATIVES_COLUMN):
            unknown = {*label_names(values.get(column, ""))} - known
            if unknown:
                raise UserError(
                    f"{where}: {min(unknown)!r} in {column} is not a class of the feature store: "
                    "correct the name, or list the clips again."
                )
        negatives_observed = NEGATIVES_COLUMN in values
        if GROUP_COLUMN in values:
            groups.append(values[GROUP_COLUMN])
    instances = np.array(clips, dtype=np.int64)[:, None]
    if store.kind == "clips":
        frames = np.arange(n_frames)
        numbers = instances * n_frames + frames
        instances = np.where(frames < np.array(counts)[:, None], numbers, PADDING)
    return Bags(
        bag=np.array(clips, dtype=np.int64),
        label=np.array(labels, dtype=np.int8),
        density=np.full(len(clips), np.nan),
        instances=instances,
        group=np.unique(groups, return_inverse=True)[1] if groups else None,
        negatives_observed=negatives_observed,
    )


def clip_label(where: str, values: Mapping[str, str], class_name: str) -> int:
    """Read the label of a clip for a class from a line of a manifest.

    Parameters
    ----------
    where : str
        The place of the line, for messages.
    values : mapping of str to str
        Its values by column.
    class_name : str
        The class.

    Returns
    -------
    int
        1, 0 or `UNKNOWN`.

    Raises
    ------
    UserError
        When the line says that the clip is positive and negative.
    """
    positive = class_name in label_names(values["labels"])
    if NEGATIVES_COLUMN not in values:
        return int(positive)
    negative = class_name in label_names(values[NEGATIVES_COLUMN])
    if positive and negative:
        raise UserError(_is_both(where, class_name))
    return 1 if positive else 0 if negative else UNKNOWN


def _is_both(where: str, class_name: str) -> str:
    return (
        f"{where}: {class_name!r} is in labels and in {NEGATIVES_COLUMN}: remove it from one of "
        "them."
    )


def manifest_lines(
    path: str | os.PathLike[str], columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the lines of a manifest.

    Parameters
    ----------
    path : path
        The manifest.
    columns : sequence of str
        The columns that it must have.

    Yields
    ------
    str
        The place of a line, such as "train.csv, line 2".
    dict of str
        Its values by column.

    Raises
    ------
    UserError
        When the file cannot be read, lacks a column or has no lines.
    """
    lines = iter(read_table(path, columns, _AGAIN))
    first = next(lines, None)
    if first is None:
        raise UserError(f"{path} has no bags: draw them again.")
    yield first
    yield from lines


def _check_row(
    where: str,
    row: _Row,
    unknown: bool,
    n_instances: int,
    bags_seen: set[int],
    instances_seen: set[int],
) -> None:
    bag, label, density, instances = row
    if bag in bags_seen:
        raise UserError(f"{where}: bag {bag} occurs twice in its draw: renumber one of them.")
    if not unknown and label not in (0, 1):
        raise UserError(f"{where}: label is {label}, but must be 0, 1 or {_UNKNOWN}.")
    if not unknown and not 0 <= density <= 1:
        raise UserError(f"{where}: density is {density}, but must be from 0 to 1.")
    if not instances:
        raise UserError(f"{where}: bag {bag} has no instances: remove it.")
    for instance in instances:
        if not 0 <= instance < n_instances:
            raise UserError(
                f"{where}: instance {instance} is not in the feature store, whose rows are 0 to "
                f"{n_instances - 1}."
            )
        if instance in instances_seen:
            raise UserError(
                f"{where}: instance {instance} occurs twice in its draw: remove one of them."
            )
        instances_seen.add(instance)
    bags_seen.add(bag)


def _bags(rows: list[_Row], negatives_observed: bool) -> Bags:
    bag, label, density, instances = zip(*rows, strict=True)
    padded = np.full((len(rows), max(map(len, instances))), PADDING, dtype=np.int64)
    for row, members in zip(padded, instances, strict=True):
        row[: len(members)] = members
    return Bags(
        bag=np.array(bag, dtype=np.int64),
        label=np.array(label, dtype=np.int8),
        density=np.array(density, dtype=np.float64),
        instances=padded,
        negatives_observed=negatives_observed,
    )


@stage
def draw_bags(
    class_name: str,
    settings: ManifestSettings,
    train_store: Path,
    test_store: Path,
    train_manifest: Path,
    test_manifest: Path,
) -> None:
    """Draw the bags of a class and write the manifests of both splits.

    Each draw, class and split has its own random numbers, so that the bags of a class do not depend
    on the other classes and seeds of the study.

    Parameters
    ----------
    class_name : str
        The class whose instances are positive.
    settings : ManifestSettings
        How instances are put into bags. With `draw_per_seed` there is one draw per seed, numbered
        by the seed; otherwise there is one draw, number 0, for all seeds.
    train_store, test_store : Path
        The feature stores.
    train_manifest, test_manifest : Path
        The manifests to write.

    Raises
    ------
    UserError
        Naming class and split, when the store has too few instances for such bags.
    """
    draws = (settings.seeds or []) if settings.draw_per_seed else [0]
    splits = (("train", train_store, train_manifest), ("test", test_store, test_manifest))
    for number, (split, store_path, manifest) in enumerate(splits):
        with open_store(store_path) as store:
            if settings.classes is not None:
                _draw_all(manifest, store, settings, draws, number)
                continue
            positive = store.positive(class_name)
        bags = {}
        for number_of_draw in draws:
            # The name, not the number in the store: a subset of classes keeps the same bags.
            seed = (number_of_draw, zlib.crc32(class_name.encode()), number)
            try:
                bags[number_of_draw] = draw(
                    positive, settings.bag_size, settings.label_density, seed
                )
            except UserError as error:
                raise UserError(f"class {class_name}, {split} split: {error}") from error
        write_manifest(manifest, bags)


def _draw_all(
    manifest: Path, store: Store, settings: ManifestSettings, draws: Sequence[int], split: int
) -> None:
    """Draw bags for many classes, and write their manifest."""
    assert settings.classes is not None
    numbers = [store.class_names.index(name) for name in settings.classes]
    with table_writer(manifest, OF_ALL_COLUMNS) as writer:
        for number in draws:
            bags = draw_of_all(store.y[:, numbers], settings.bag_size, (number, split))
            for bag, labels, instances in zip(bags.bag, bags.label, bags.instances, strict=True):
                names = [settings.classes[place] for place in np.flatnonzero(labels)]
                rows = " ".join(map(str, instances.tolist()))
                writer.writerow((number, bag, LABEL_SEPARATOR.join(names), rows))


@stage
def list_clips(store: Path, manifest: Path) -> None:
    """Write the manifest of the clips of a split, each of which is a bag.

    Parameters
    ----------
    store : Path
        The feature store of the split.
    manifest : Path
        The manifest: all clips, in the order of the store.

    Raises
    ------
    UserError
        When the store cannot be read or holds images.
    """
    with open_store(store) as clips:
        if clips.kind == "images":
            raise UserError(
                f"{store} holds images, of which each class has its own bags: ask for those of a "
                f"class, {manifest.parent}/CLASS/{manifest.name}."
            )
        assert clips.start is not None
        assert clips.length is not None
        starts = [f"{start:.3f}" for start in clips.start]
        values = (range(len(starts)), clips.id, starts, clips.length, _names(clips, 1))
        columns: dict[str, Iterable[object]] = dict(zip(CLIP_COLUMNS, values, strict=True))
        if clips.negatives_observed:
            columns[NEGATIVES_COLUMN] = _names(clips, 0)
        if clips.group is not None:
            columns[GROUP_COLUMN] = clips.group
        write_table(manifest, tuple(columns), zip(*columns.values(), strict=True))


def _names(clips: Store, value: int) -> Iterator[str]:
    """For each clip, the classes for which it has this value in `y`."""
    for labels in clips.y:
        yield LABEL_SEPARATOR.join(clips.class_names[c] for c in np.flatnonzero(labels == value))
