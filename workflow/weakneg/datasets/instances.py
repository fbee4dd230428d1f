"""The user's own features: bags of instances that are feature vectors, from any field.

One file with a row per instance: CSV (.csv), Parquet (.parquet) or HDF5 (.h5, .hdf5).

- `bag`: name of the bag that the instance belongs to; the rows of a bag need not be adjacent;
- `labels`: names of the bag's classes, separated by semicolons; empty if it belongs to none. The
  same in all rows of a bag;
- `split` (optional): "train" or "test", or the name of a fold; the study's test_split then names
  the fold to test on. Without this column, a quarter of the bags is the test split, chosen by a
  hash of their names;
- `negatives` (optional): names of the classes that are known not to be in the bag, separated by
  semicolons. The same in all rows of a bag. It matters to studies that say `unlisted: unknown`;
- `group` (optional): what bags have in common, such as a patient or a site. Bags of one group are
  all for training, validation or testing. The same in all rows of a bag.

All other columns are numbers, the features. An HDF5 file has these columns as arrays, and the
features as one array `x` of shape (instances, features).

Features are float32, and each is normalised with its mean and standard deviation in the training
split. Each split is made and stored as an array of (bags, instances of its largest bag, features),
4 bytes each; training holds its instances without the padding. The file is read piece by piece.
"""

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from weakneg.datasets import UNKNOWN, Clips, OwnDataset, Problem
from weakneg.datasets.own_lists import (
    SPLITS,
    count_labels,
    label_names,
    name_splits,
    refuse_both,
)
from weakneg.errors import UserError
from weakneg.io.csv import read_lines

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("bag", "labels", "split", "negatives", "group")

_PIECE = 1 << 22  # features that are read at a time
_BLOCK_BYTES = 1 << 24  # of a CSV file
_PANDAS_INDEX = "__index_level_"


class Bag(NamedTuple):
    """A bag, without its features.

    Attributes
    ----------
    split : str
        "train" or "test"; as read from the file also the name of a fold, or "".
    labels : tuple of str
        Names of its classes.
    negatives : tuple of str
        Names of the classes that are known to be absent.
    group : str
        "" if it has none.
    size : int
        Number of its instances.
    """

    split: str
    labels: tuple[str, ...]
    negatives: tuple[str, ...]
    group: str
    size: int


def read_classes(list_file: str) -> tuple[str, ...]:
    """Return the names of all classes in the file, in alphabetical order."""
    return tuple(sorted({label for bag in _bags(list_file).values() for label in bag.labels}))


def class_sizes(list_file: str, test_split: str) -> dict[str, Counter[str]]:
    """Count, for each split, the bags that carry each label.

    Parameters
    ----------
    list_file : str
        The file of instances.
    test_split : str
        "test", or the name of the fold that is the test split.

    Returns
    -------
    dict of str to Counter
        Split -> class name -> number of bags.

    Raises
    ------
    UserError
        When the file is malformed.
    """
    bags = _split_bags(list_file, test_split).values()
    return count_labels((bag.split, bag.labels) for bag in bags)


def negative_sizes(list_file: str, test_split: str) -> dict[str, Counter[str]]:
    """Count the bags that are known not to hold each class; otherwise as `class_sizes`."""
    bags = _split_bags(list_file, test_split).values()
    return count_labels((bag.split, set(bag.negatives)) for bag in bags)


def load_clips(list_file: str, test_split: str) -> tuple[dict[str, Clips], list[Problem]]:
    """Load both splits.

    Parameters
    ----------
    list_file : str
        The file of instances.
    test_split : str
        "test", or the name of the fold that is the test split.

    Returns
    -------
    dict of str to Clips
        The splits "train" and "test". Each bag is a clip whose frames are its instances, in the
        order of the file.
    list of Problem
        Always empty: no instance or bag is left out.

    Raises
    ------
    UserError
        When the file is malformed.
    """
    import pyarrow as pa
    import pyarrow.compute

    bags = dict(sorted(_split_bags(list_file, test_split).items()))
    splits = np.array([SPLITS.index(bag.split) for bag in bags.values()])
    row = np.zeros(len(bags), np.int64)  # in the arrays of its split
    for split in range(len(SPLITS)):
        row[splits == split] = np.arange(np.count_nonzero(splits == split))
    ids, filled = pa.array(bags), np.zeros(len(bags), np.int64)
    x: list[np.ndarray] = []
    for columns, features in _read(list_file, with_features=True):
        assert features is not None
        if not x:
            sizes = np.array([bag.size for bag in bags.values()])
            for split in range(len(SPLITS)):
                mine = sizes[splits == split]
                x.append(_padded(list_file, mine, features.shape[1]))
        bag = pa.compute.index_in(columns["bag"], value_set=ids).to_numpy()
        place = filled[bag] + _place_among_equals(bag)
        for split in range(len(SPLITS)):
            here = splits[bag] == split
            x[split][row[bag[here]], place[here]] = features[here]
        filled += np.bincount(bag, minlength=len(bags))
    numbers = {name: number for number, name in enumerate(read_classes(list_file))}
    return {
        name: _clips(
            {bag_id: bag for bag_id, bag in bags.items() if bag.split == name}, values, numbers
        )
        for name, values in zip(SPLITS, x, strict=True)
    }, []


def _padded(list_file: str, sizes: np.ndarray, n_features: int) -> np.ndarray:
    """Zeros for bags of these sizes, each padded to the largest."""
    shape = (len(sizes), sizes.max(), n_features)
    try:
        return np.zeros(shape, np.float32)
    except MemoryError as error:
        size = 4 * math.prod(map(int, shape)) / 1e9
        raise UserError(
            f"{list_file}: {len(sizes)} bags take {size:.1f} GB, since each is padded to the size "
            f"of the largest, {sizes.max()} instances (the median is {np.median(sizes):g}), and "
            "there is less memory: divide the large bags."
        ) from error


def _place_among_equals(values: np.ndarray) -> np.ndarray:
    """Return how many equal values come before each."""
    order = np.argsort(values, kind="stable")
    place = np.empty(len(values), np.int64)
    place[order] = np.arange(len(values)) - np.searchsorted(values[order], values[order])
    return place


def _clips(bags: dict[str, Bag], x: np.ndarray, numbers: dict[str, int]) -> Clips:
    groups = np.array([bag.group for bag in bags.values()])
    y = np.full((len(bags), len(numbers)), UNKNOWN, np.uint8)
    for labels, bag in zip(y, bags.values(), strict=True):
        labels[[numbers[name] for name in bag.negatives if name in numbers]] = 0
        labels[[numbers[name] for name in bag.labels]] = 1
    return Clips(
        x=x,
        length=np.array([bag.size for bag in bags.values()], np.int64),
        id=np.array(list(bags)),
        start=np.zeros(len(bags)),
        y=y,
        group=np.where(groups == "", list(bags), groups) if groups.any() else None,
    )


# ----------------------------------------------------------------------------- bags
@lru_cache
def _split_bags(list_file: str, test_split: str) -> dict[str, Bag]:
    """Return each bag by its id; `split` is "train" or "test"."""
    bags = _bags(list_file)
    named = {bag_id: bag.split for bag_id, bag in bags.items()}
    groups = {bag_id: bag.group for bag_id, bag in bags.items()}
    splits = name_splits(named, test_split, list_file, "bag", groups)
    return {bag_id: bag._replace(split=splits[bag_id]) for bag_id, bag in bags.items()}


@lru_cache
def _bags(list_file: str) -> dict[str, Bag]:
    """Return each bag by its id, with `split` as in the file; features are not read."""
    bags: dict[str, Bag] = {}
    for columns, _ in _read(list_file, with_features=False):
        grouped = columns.group_by(list(COLUMNS), use_threads=False).aggregate([([], "count_all")])
        for group in grouped.to_pylist():
            labels, negatives = (
                tuple(dict.fromkeys(label_names(group[column])))
                for column in ("labels", "negatives")
            )
            refuse_both(f"{list_file}: in the bag {group['bag']!r}", labels, negatives)
            found = Bag(group["split"], labels, negatives, group["group"], group["count_all"])
            before = bags.get(group["bag"], found._replace(size=0))
            # Labels may come in any order.
            for name, compared, values in (
                ("in the splits", str, (before.split, found.split)),
                ("in the groups", str, (before.group, found.group)),
                ("labelled", set, (before.labels, found.labels)),
                ("known to lack", set, (before.negatives, found.negatives)),
            ):
                if compared(values[0]) != compared(values[1]):
                    both = " and ".join(
                        repr(value if isinstance(value, str) else "; ".join(value))
                        for value in values
                    )
                    raise UserError(
                        f"{list_file}: the bag {group['bag']!r} is {name} {both}: give all rows of "
                        "a bag the same split, group, labels and negatives."
                    )
            bags[group["bag"]] = before._replace(size=before.size + found.size)
    if not bags:
        raise UserError(f"{list_file} has no instances.")
    return bags


# ----------------------------------------------------------------------------- files
def _read(list_file: str, with_features: bool) -> Iterator[tuple["pa.Table", np.ndarray | None]]:
    """Yield the rows piece by piece: `COLUMNS` as text, and the features (n, F) float32."""
    import pyarrow as pa

    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".h5": _read_hdf5, ".hdf5": _read_hdf5}
    reader = readers.get(Path(list_file).suffix.lower())
    if reader is None:
        raise UserError(
            f"dataset.list: {list_file} is not a file of instances: its name must end in one of "
            f"{', '.join(readers)}."
        )
    n_rows = 0
    try:
        for piece in reader(list_file, with_features):
            n = len(piece.columns["bag"])
            columns = {
                name: _text(list_file, name, piece.columns.get(name, pa.nulls(n, pa.string())))
                for name in COLUMNS
            }
            without = [row for row, bag in enumerate(columns["bag"].to_pylist()) if not bag]
            if without:
                row = n_rows + without[0] + 1
                raise UserError(f"{list_file}: row {row} has no bag: name its bag.")
            if with_features:
                _check_finite(list_file, piece, columns["bag"], n_rows)
            n_rows += n
            yield pa.table(columns), piece.features
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise UserError(f"dataset.list: {list_file} cannot be read ({reason}).") from None


class _Piece(NamedTuple):
    """Some rows of a file.

    Attributes
    ----------
    columns : mapping of str to Array
        Those of `COLUMNS` that it has.
    names : sequence of str
        Names of the features.
    features : (n, F) float32 or None
        None if they were not asked for.
    """

    columns: Mapping[str, "pa.Array"]
    names: Sequence[str]
    features: np.ndarray | None


def _read_csv(list_file: str, with_features: bool) -> Iterator[_Piece]:
    import pyarrow as pa
    import pyarrow.csv

    try:
        _, names = next(read_lines(list_file), (1, []))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{list_file} is not text in UTF-8 with a header ({error}).") from None
    features = _feature_names(list_file, names)
    types = {name: pa.string() if name in COLUMNS else pa.float64() for name in names}
    wanted = [name for name in names if name in COLUMNS or (with_features and name in features)]
    with pa.csv.open_csv(
        list_file,
        # Without threads, errors are reported with their row.
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        convert_options=pa.csv.ConvertOptions(column_types=types, include_columns=wanted),
    ) as batches:
        for batch in batches:
            yield _piece(list_file, batch, features, with_features)


def _read_parquet(list_file: str, with_features: bool) -> Iterator[_Piece]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(list_file) as file:
        names = file.schema_arrow.names
        features = _feature_names(list_file, names)
        wanted = [name for name in names if name in COLUMNS or (with_features and name in features)]
        rows = _rows_at_a_time(len(features))
        for batch in file.iter_batches(batch_size=rows, columns=wanted):
            yield _piece(list_file, batch, features, with_features)


def _read_hdf5(list_file: str, with_features: bool) -> Iterator[_Piece]:
    import h5py
    import pyarrow as pa

    with h5py.File(list_file, "r", locking=False) as file:
        x = file.get("x")
        if not isinstance(x, h5py.Dataset) or x.ndim != 2 or x.dtype.kind not in "fiub":
            raise UserError(f"{list_file} must have the features as a two-dimensional array x.")
        names = [f"x[:, {number}]" for number in range(x.shape[1])]
        arrays = {name: file[name] for name in COLUMNS if name in file}
        _feature_names(list_file, [*arrays, *names])
        for name, array in arrays.items():
            if getattr(array, "shape", None) != x.shape[:1]:
                raise UserError(
                    f"{list_file}: {name} must be an array of {len(x)} values, one for each row of "
                    "x."
                )
            if h5py.check_string_dtype(array.dtype):
                arrays[name] = array.asstr()
        step = _rows_at_a_time(x.shape[1])
        for first in range(0, len(x), step):
            rows = slice(first, first + step)
            columns = {name: pa.array(array[rows]) for name, array in arrays.items()}
            yield _Piece(columns, names, _float32(x[rows]) if with_features else None)


def _piece(
    list_file: str, batch: "pa.RecordBatch", names: Sequence[str], with_features: bool
) -> _Piece:
    import pyarrow as pa

    columns = {name: batch.column(name) for name in COLUMNS if name in batch.schema.names}
    if not with_features:
        return _Piece(columns, names, None)
    features = np.empty((len(batch), len(names)), np.float32)
    for number, name in enumerate(names):
        column = batch.column(name)
        kinds = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)
        if not any(is_kind(column.type) for is_kind in kinds):
            raise UserError(
                f"{list_file}: the column {name} holds {column.type}, but a feature is a number: "
                "leave the column out."
            )
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        features[:, number] = _float32(values)
    return _Piece(columns, names, features)


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # values that are too large become infinite and are rejected
        return values.astype(np.float32)


def _rows_at_a_time(n_features: int) -> int:
    return max(1, _PIECE // n_features)


def _feature_names(list_file: str, names: Sequence[str]) -> list[str]:
    """Return the names of the features; UserError if there are none or a column is wrong."""
    for name in COLUMNS[:2]:
        if name not in names:
            found = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise UserError(
                f"{list_file} has no column {name}; it needs bag and labels, may have split, "
                "negatives and group, and all others are features (found: "
                f"{found or 'none'})."
            )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(
            f"{list_file} has two columns {repeated[0]!r}: remove or rename one of them."
        )
    if "" in names:
        raise UserError(
            f"{list_file} has a column without a name: leave it out if it numbers the rows (in "
            "pandas, index=False), or name it."
        )
    meant = {name: name.strip().lower() for name in names if name not in COLUMNS}
    if misspelt := [name for name, column in meant.items() if column in COLUMNS]:
        raise UserError(
            f"{list_file} has a column {misspelt[0]!r}: call it {meant[misspelt[0]]!r}, or "
            "something else if it is a feature."
        )
    features = [
        name for name in names if name not in COLUMNS and not name.startswith(_PANDAS_INDEX)
    ]
    if not features:
        raise UserError(f"{list_file} has no features: add columns of numbers.")
    return features


def _text(list_file: str, name: str, column: "pa.Array") -> "pa.Array":
    """Return a column as text without surrounding spaces, "" where a value is missing."""
    import pyarrow as pa
    import pyarrow.compute as compute

    values = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_null)
    if not any(is_kind(values) for is_kind in kinds):
        raise UserError(f"{list_file}: {name} holds {values}, but must hold text or whole numbers.")
    return compute.utf8_trim_whitespace(compute.fill_null(column.cast(pa.string()), ""))


def _check_finite(list_file: str, piece: _Piece, bag: "pa.Array", first_row: int) -> None:
    assert piece.features is not None
    wrong = np.argwhere(~np.isfinite(piece.features))
    if len(wrong):
        row, number = wrong[0]
        raise UserError(
            f"{list_file}: {piece.names[number]} of row {first_row + row + 1}, in the bag "
            f"{bag[row].as_py()!r}, is missing or out of range for float32: fill in a number, or "
            "leave the row out."
        )


DATASET = OwnDataset(
    kind="clips",
    study_keys=("list",),
    read_classes=read_classes,
    class_sizes=class_sizes,
    negative_sizes=negative_sizes,
    load_clips=load_clips,
)
