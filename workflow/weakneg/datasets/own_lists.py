"""What lists of one's own data have in common: how they name labels and splits."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from weakneg.errors import UserError

LABEL_SEPARATOR = ";"
SPLITS = ("train", "test")


def label_names(text: str) -> list[str]:
    """The names in a value of the column labels."""
    return [name for part in text.split(LABEL_SEPARATOR) if (name := part.strip())]


def name_splits(
    named: Mapping[str, str],
    test_split: str,
    list_file: str,
    what: str,
    groups: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Id -> "train" or "test".

    named : id -> what the list says: "train" or "test", the name of a fold, or "". If no split is
        named, a quarter of the ids is the test split
    test_split : "test", or the name of the fold that is the test split
    what : the ids are of, for messages
    groups : id -> what it shares with others, which are then in the same split: that which is named
        for one of them, if any is

    Raises UserError for a split that is neither, when a split is empty, and when a group is in two.
    """
    names = sorted(set(named.values()) - {""})
    folds = test_split != "test"
    if folds and test_split not in names:
        raise UserError(
            f"dataset.test_split: {test_split!r} is no split of {list_file}, whose splits are "
            f"{', '.join(names) or 'not named'}."
        )
    groups = groups or {}
    stated = {
        group: split for name, split in named.items() if split and (group := groups.get(name))
    }
    splits: dict[str, str] = {}
    split_of: dict[str, str] = {}  # group -> its split
    for name, split in named.items():
        if folds and not split:
            raise UserError(f"{list_file}: {name!r} has no split, but others have: name one.")
        if not folds and split not in ("", *SPLITS):
            raise UserError(
                f"{list_file}: {name!r} has the split {split!r}, allowed are train and test; of "
                "folds, name the one to test on as the study's dataset.test_split."
            )
        if folds:
            split = "test" if split == test_split else "train"
        group = groups.get(name)
        splits[name] = split or stated.get(group) or _drawn_split(group or name)
        if group and split_of.setdefault(group, splits[name]) != splits[name]:
            raise UserError(
                f"{list_file}: the group {group!r} is in both splits, {name!r} in "
                f"{splits[name]}: keep it together, or the test is too easy."
            )
    for split in SPLITS:
        if split not in splits.values():
            raise UserError(
                f"{list_file}: no {what} is in the split {split}: say in a column split which are."
            )
    return splits


def count_labels(rows: Iterable[tuple[str, Iterable[str]]]) -> dict[str, Counter]:
    """Split -> class name -> number of rows; a row is the split and the labels of an id."""
    sizes: dict[str, Counter] = {split: Counter() for split in SPLITS}
    for split, labels in rows:
        sizes[split].update(labels)
    return sizes


def _drawn_split(name: str) -> str:
    # By the name alone: what is added moves no other one.
    return "test" if hashlib.sha256(name.encode()).digest()[0] < 64 else "train"
