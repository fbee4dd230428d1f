"""Bags: drawn from the instances of a feature store, written down as a manifest, read back.

A manifest is the only place where bags are decided. It is a CSV file of one row per bag. Of images
there is one for each class and split:

- `draw`: which draw of bags the row belongs to (0, or the seed when every seed draws its own);
- `bag`: number of the bag, distinct within its draw;
- `label`: 1 for a positive bag, 0 for a negative one;
- `density`: share of the bag's instances that are positive ("label density");
- `instances`: row numbers (from 0) in the store of the same split, separated by spaces.

A manifest of one's own may have bags of different sizes.

Of clips there is one for each split, which serves all classes, since a clip is a bag:

- `bag`: row number (from 0) of the clip in the store of the same split;
- `id`, `start`: the clip's, as in the store, for people;
- `instances`: number of its frames;
- `labels`: names of its classes, separated by semicolons;
- `group`, where clips share one, such as a recording: none is on both sides of the validation
  split.
"""

import csv
import math
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weakneg.errors import UserError
from weakneg.files import replace_when_whole
from weakneg.store import Store, open_store

COLUMNS = ("draw", "bag", "label", "density", "instances")
CLIP_COLUMNS = ("bag", "id", "start", "instances", "labels")
GROUP_COLUMN = "group"

_PADDING = -1
LABEL_SEPARATOR = ";"


@dataclass(frozen=True)
class Bags:
    """One draw of B bags.

    bag : (B,) int64, distinct numbers
    label : (B,) int8, 0 or 1
    density : (B,) float64, share of positive instances; NaN where it is not known
    instances : (B, M) int64, numbers of the store's instances; bags smaller than M end in -1
    group : (B,) int64, the same of bags that belong together; None: each is alone
    """

    bag: np.ndarray
    label: np.ndarray
    density: np.ndarray
    instances: np.ndarray
    group: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """(B, M) bool: True where `instances` holds a row, False where it is padding."""
        return self.instances != _PADDING

    def __len__(self) -> int:
        return len(self.bag)


def draw_bags(
    positive: np.ndarray,
    bag_size: int,
    label_density: str | float,
    seed: int | Sequence[int],
) -> Bags:
    """Draw bags of `bag_size` instances, each instance in at most one bag.

    The number of positive instances in a positive bag is uniform on 1..`bag_size` for the label
    density "uniform" (Shah et al., "Importance of Negative Sampling in Weak Label Learning",
    section 5.1), or `label_density` x `bag_size`, rounded half up, for a number in (0, 1].
    Positive bags are made until every positive instance is used: the last one takes those that are
    left, even if a larger number was drawn for it. Negative instances, in random order, fill the
    positive bags; the rest of them make the negative bags, and the fewer than `bag_size` that then
    remain are left out. The order of the bags, and of the instances in a bag, is random, so that
    neither tells the label. Bags are numbered 0..B-1.

    positive : (N,) bool, which instances are positive
    seed : one or several integers >= 0; the same give the same bags

    Raises UserError when there is no positive instance, when the density rounds to no positive
    instance in a bag, or when the negatives do not fill the positive bags and one negative bag.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    positives = rng.permutation(np.flatnonzero(positive))
    negatives = rng.permutation(np.flatnonzero(~positive))
    if len(positives) == 0:
        raise UserError("there is no positive instance to make a bag of.")

    if label_density == "uniform":
        counts = rng.integers(1, bag_size, size=len(positives), endpoint=True)
    else:
        count = math.floor(label_density * bag_size + 0.5)
        if count == 0:
            raise UserError(
                f"label_density {label_density} of bag_size {bag_size} is less than half an "
                "instance: raise one of them."
            )
        counts = np.full(len(positives), count)
    used = np.cumsum(counts)
    n_positive_bags = int(np.searchsorted(used, len(positives))) + 1
    counts = counts[:n_positive_bags]
    counts[-1] -= used[n_positive_bags - 1] - len(positives)

    n_fill = n_positive_bags * bag_size - len(positives)
    n_negative_bags = (len(negatives) - n_fill) // bag_size
    if n_negative_bags < 1:
        raise UserError(
            f"{len(negatives)} negative instances do not fill {n_positive_bags} positive bags and "
            f"one negative bag: lower bag_size ({bag_size}) or raise label_density "
            f"({label_density})."
        )
    counts = np.concatenate([counts, np.zeros(n_negative_bags, dtype=counts.dtype)])
    is_positive = np.arange(bag_size) < counts[:, None]
    instances = np.empty(is_positive.shape, dtype=np.int64)
    instances[is_positive] = positives
    instances[~is_positive] = negatives[: n_fill + n_negative_bags * bag_size]

    order = rng.permutation(len(counts))
    counts = counts[order]
    return Bags(
        bag=np.arange(len(counts), dtype=np.int64),
        label=(counts > 0).astype(np.int8),
        density=counts / bag_size,
        instances=rng.permuted(instances[order], axis=1),
    )


def write_manifest(path: str | os.PathLike, draws: Mapping[int, Bags]) -> None:
    """Write the draws of one class and split to the CSV file `path`, whole or not at all."""
    with replace_when_whole(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for draw, bags in draws.items():
            for bag, label, density, instances, mask in zip(
                bags.bag.tolist(),
                bags.label.tolist(),
                bags.density.tolist(),
                bags.instances,
                bags.mask,
                strict=True,
            ):
                rows = " ".join(map(str, instances[mask].tolist()))
                writer.writerow((draw, bag, label, density, rows))


def read_manifest(path: str | os.PathLike, n_instances: int) -> dict[int, Bags]:
    """The draws of the manifest at `path`, whose store has `n_instances` instances.

    Bags keep the order of the file.

    Raises UserError, naming the file and the line, when a column is missing, a value is not what
    the column holds, a bag occurs twice in a draw, or an instance is out of range or occurs twice
    in a draw.
    """
    rows: dict[int, list[tuple]] = {}
    seen: dict[int, tuple[set[int], set[int]]] = {}
    for where, values in manifest_lines(path, COLUMNS):
        try:
            draw, bag, label = (int(values[column]) for column in COLUMNS[:3])
            density = float(values["density"])
            instances = [int(text) for text in values["instances"].split()]
        except ValueError as error:
            raise UserError(f"{where}: {error}.") from error
        bags_seen, instances_seen = seen.setdefault(draw, (set(), set()))
        _check_row(where, bag, label, density, instances, n_instances, bags_seen, instances_seen)
        rows.setdefault(draw, []).append((bag, label, density, instances))
    return {draw: _bags(drawn) for draw, drawn in rows.items()}


def read_bags(path: str | os.PathLike, store: Store, class_name: str) -> dict[int, Bags]:
    """The draws of the manifest at `path`, with the labels of a class; clips are one draw, 0.

    Raises UserError as `read_manifest` does, and as it does for a manifest of clips.
    """
    if store.length is None:
        return read_manifest(path, len(store.x))
    return {0: _clip_bags(path, store, class_name)}


def _clip_bags(path: str | os.PathLike, store: Store, class_name: str) -> Bags:
    store.positive(class_name)  # a class that the store does not know is an error
    n_clips, n_frames = store.x.shape[:2]
    clips, counts, labels, groups = [], [], [], []
    seen = set()
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
            raise UserError(f"{where}: bag {clip} occurs twice; remove one of the lines.")
        if not 1 <= count <= store.length[clip]:
            raise UserError(
                f"{where}: instances is {count}, allowed are 1 to {store.length[clip]}, the frames "
                "of the clip."
            )
        seen.add(clip)
        clips.append(clip)
        counts.append(count)
        labels.append(class_name in values["labels"].split(LABEL_SEPARATOR))
        groups.append(values.get(GROUP_COLUMN))
    instances = np.array(clips, dtype=np.int64)[:, None]
    if store.kind == "clips":
        frames = np.arange(n_frames)
        numbers = instances * n_frames + frames
        instances = np.where(frames < np.array(counts)[:, None], numbers, _PADDING)
    return Bags(
        bag=np.array(clips, dtype=np.int64),
        label=np.array(labels, dtype=np.int8),
        density=np.full(len(clips), np.nan),
        instances=instances,
        group=None if None in groups else np.unique(groups, return_inverse=True)[1],
    )


def manifest_lines(
    path: str | os.PathLike, columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Where it stands, and the values by column, of every line of a manifest; at least one."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}): draw the bags first.") from error
    header = lines[0] if lines else []
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(f"{path} has no column {missing[0]}; its columns are {', '.join(columns)}.")
    filled = [(number, line) for number, line in enumerate(lines[1:], start=2) if line]
    if not filled:
        raise UserError(f"{path} has no bags: draw them again.")
    for number, line in filled:
        where = f"{path}, line {number}"
        if len(line) != len(header):
            raise UserError(f"{where} has {len(line)} values, the header has {len(header)}.")
        yield where, dict(zip(header, line, strict=True))


def _check_row(
    where, bag, label, density, instances, n_instances, bags_seen, instances_seen
) -> None:
    if bag in bags_seen:
        raise UserError(f"{where}: bag {bag} occurs twice in its draw; number the bags.")
    if label not in (0, 1):
        raise UserError(f"{where}: label is {label}, allowed are 0 and 1.")
    if not 0 <= density <= 1:
        raise UserError(f"{where}: density is {density}, allowed are 0 to 1.")
    if not instances:
        raise UserError(f"{where}: bag {bag} has no instances; remove it.")
    for instance in instances:
        if not 0 <= instance < n_instances:
            raise UserError(
                f"{where}: instance {instance} is not in the feature store, whose rows are 0 to "
                f"{n_instances - 1}."
            )
        if instance in instances_seen:
            raise UserError(f"{where}: instance {instance} occurs twice in its draw.")
        instances_seen.add(instance)
    bags_seen.add(bag)


def _bags(rows: list[tuple]) -> Bags:
    bag, label, density, instances = zip(*rows, strict=True)
    padded = np.full((len(rows), max(map(len, instances))), _PADDING, dtype=np.int64)
    for row, members in zip(padded, instances, strict=True):
        row[: len(members)] = members
    return Bags(
        bag=np.array(bag, dtype=np.int64),
        label=np.array(label, dtype=np.int8),
        density=np.array(density, dtype=np.float64),
        instances=padded,
    )


def build_manifests(
    train_store: str | os.PathLike,
    test_store: str | os.PathLike,
    class_name: str,
    settings: Mapping,
    train_manifest: str | os.PathLike,
    test_manifest: str | os.PathLike,
) -> None:
    """Stage: draw the bags of one class and write the manifests of both splits.

    settings : `bag_size`, `label_density`, and `draw_per_seed` with `seeds`: False makes one draw,
        number 0, for all seeds; True makes one draw for each seed, numbered by it.

    Draw, class and split each have random numbers of their own: the bags of a class do not depend
    on which other classes or seeds are asked for.

    Raises UserError, naming class and split, when the store has not the instances for such bags.
    """
    draws = settings["seeds"] if settings["draw_per_seed"] else [0]
    splits = (("train", train_store, train_manifest), ("test", test_store, test_manifest))
    for number, (split, store_path, manifest) in enumerate(splits):
        with open_store(store_path) as store:
            positive = store.positive(class_name)
        bags = {}
        for draw in draws:
            # The name and not its number in the store: a subset of classes leaves the bags alone.
            seed = (draw, zlib.crc32(class_name.encode()), number)
            try:
                bags[draw] = draw_bags(
                    positive, settings["bag_size"], settings["label_density"], seed
                )
            except UserError as error:
                raise UserError(f"class {class_name}, {split} split: {error}") from error
        write_manifest(manifest, bags)


def list_clips(store: str | os.PathLike, manifest: str | os.PathLike) -> None:
    """Stage: write the manifest of the clips of a split, all of them, in the order of the store."""
    with open_store(store) as clips:
        rows = [
            (
                number,
                clip_id,
                f"{start:.3f}",
                length,
                LABEL_SEPARATOR.join(clips.class_names[c] for c in np.flatnonzero(labels)),
            )
            for number, (clip_id, start, length, labels) in enumerate(
                zip(clips.id, clips.start, clips.length, clips.y, strict=True)
            )
        ]
        columns = CLIP_COLUMNS
        if clips.group is not None:
            columns += (GROUP_COLUMN,)
            rows = [(*row, group) for row, group in zip(rows, clips.group, strict=True)]
    with (
        replace_when_whole(manifest) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def n_validation(n: int, fraction: float) -> int:
    """How many of n bags of a label go to validation, where bags have no groups."""
    return min(max(math.floor(fraction * n + 0.5), 1), n - 1)


def n_chosen(negatives_per_positive: float, n_positive: int, n_pool: int) -> int:
    """The budget: how many negative bags an epoch trains on, of a pool that is not empty."""
    return min(max(1, round(negatives_per_positive * n_positive)), n_pool)


def n_candidates(fraction: float, budget: int, n_pool: int) -> int:
    """How many bags of the pool are scored, to choose `budget` from."""
    return max(budget, round(fraction * n_pool))


def split_validation(
    label: np.ndarray, fraction: float, seed: int, group: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split bags into training and validation, stratified by label.

    label : (B,) 0 or 1
    fraction : share of each label's bags that go to validation, in (0, 1), rounded to whole bags,
        at least one and not all
    seed : integer >= 0; the same gives the same split
    group : (B,) integers; bags of one group stay together. In random order, those are held out that
        bring the share nearer; the smallest, if none does. The label of fewer groups goes first: a
        group of both labels follows it, however large that makes the share of the other. None: each
        bag is a group

    Returns the row numbers of the training bags and of the validation bags, each sorted.
    Raises UserError when a label has fewer than two bags, or groups to separate.
    """
    label = np.asarray(label)
    group = np.arange(len(label)) if group is None else np.asarray(group)
    # The second word keeps this stream apart from those that draw bags or initialise models.
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(b"validation"))))
    orders = []
    for value, name in ((0, "negative"), (1, "positive")):
        orders.append(rng.permutation(np.flatnonzero(label == value)))
        if len(orders[-1]) < 2:
            raise UserError(
                f"there are {len(orders[-1])} {name} bags, but training and validation need one "
                "each: get more data, make bags smaller, or leave the class out."
            )
    held_out: dict[int, bool] = {}  # group -> whether it is for validation
    # A group of both labels goes where the first goes: that of the fewest groups, which has the
    # least choice.
    named = zip(("positive", "negative"), reversed(orders), strict=True)
    for name, rows in sorted(named, key=lambda each: len(np.unique(group[each[1]]))):
        wanted = n_validation(len(rows), fraction)
        sizes = Counter(group[rows].tolist())
        held = sum(size for number, size in sizes.items() if held_out.get(number))
        kept = any(not held_out.get(number, True) for number in sizes)
        free = [number for number in sizes if number not in held_out]
        held_out |= dict.fromkeys(free, False)
        for place, number in enumerate(free):
            nearer = 2 * held + sizes[number] <= 2 * wanted
            if nearer and (kept or place < len(free) - 1):
                held_out[number] = True
                held += sizes[number]
            else:
                kept = True
        if not held and free and len(sizes) > 1:
            smallest = min(free, key=sizes.__getitem__)
            held_out[smallest], held = True, sizes[smallest]
        if not held or not kept:
            raise UserError(
                f"the {len(rows)} {name} bags are of {len(sizes)} groups, which training and "
                "validation cannot share out: take recordings from more sources."
            )
    validation = np.array([held_out[number] for number in group.tolist()])
    return np.flatnonzero(~validation), np.flatnonzero(validation)
