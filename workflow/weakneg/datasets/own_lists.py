"""How the lists of the user's own data name labels and splits."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from weakneg.errors import UserError

LABEL_SEPARATOR = ";"
SPLITS = ("train", "test")


def label_names(text: str) -> list[str]:
    """Return the names in a value of the column labels."""
    return [name for part in text.split(LABEL_SEPARATOR) if (name := part.strip())]


def refuse_both(where: str, labels: Iterable[str], negatives: Iterable[str]) -> None:
    """Raise UserError where a class is among the labels and among the negatives."""
    both = set(labels) & set(negatives)
    if both:
        raise UserError(
            f"{where}: {min(both)!r} is in labels and in negatives: remove it from one of them."
        )


def name_splits(
    named: Mapping[str, str],
    test_split: str,
    list_file: str,
    what: str,
    groups: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Put each id into the training or the test split.

    Parameters
    ----------
    named : mapping of str to str
        Id -> what the list says: "train", "test", the name of a fold, or "". Ids without a split
        are drawn by a hash of their names (or of their groups): a quarter of them is for testing.
    test_split : str
        "test", or the name of the fold that is the test split.
    list_file : str
        The list, for messages.
    what : str
        What an id stands for, for messages: "bag" or "recording".
    groups : mapping of str to str, optional
        Id -> its group, or "". All ids of a group are in the same split: the one that the list
        names for any of them, if it names one.

    Returns
    -------
    dict of str to str
        Id -> "train" or "test".

    Raises
    ------
    UserError
        When the list names an unknown split, a split is empty, or a group is in both.
    """
    names = sorted(set(named.values()) - {""})
    folds = test_split != "test"
    if folds and test_split not in names:
        raise UserError(
            f"dataset.test_split: {test_split!r} is not a split of {list_file}: use one of its "
            f"splits ({', '.join(names) or 'it names none'})."
        )
    groups = groups or {}
    stated = {
        group: split for name, split in named.items() if split and (group := groups.get(name))
    }
    splits: dict[str, str] = {}
    split_of: dict[str, str] = {}  # group -> its split
    for name, split in named.items():
        if folds and not split:
            raise UserError(f"{list_file}: {name!r} has no split, but others do: give it one.")
        if not folds and split not in ("", *SPLITS):
            raise UserError(
                f"{list_file}: {name!r} has the split {split!r}, allowed are train and test; if "
                "splits are folds, set the study's dataset.test_split to the one to test on."
            )
        if folds:
            split = "test" if split == test_split else "train"
        group = groups.get(name, "")
        splits[name] = split or stated.get(group) or _drawn_split(group or name)
        if group and split_of.setdefault(group, splits[name]) != splits[name]:
            raise UserError(
                f"{list_file}: the group {group!r} is in both splits ({name!r} is in "
                f"{splits[name]}): give all of it the same split, or the test would be too easy."
            )
    for split in SPLITS:
        if split not in splits.values():
            raise UserError(
                f"{list_file}: no {what} is in the split {split}: name them in a column split."
            )
    return splits


def count_labels(rows: Iterable[tuple[str, Iterable[str]]]) -> dict[str, Counter[str]]:
    """Count the rows of each split that carry each label.

    Parameters
    ----------
    rows : iterable of (str, iterable of str)
        Split and labels of each id.

    Returns
    -------
    dict of str to Counter
        Split -> class name -> number of rows.
    """
    sizes: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for split, labels in rows:
        sizes[split].update(labels)
    return sizes


def _drawn_split(name: str) -> str:
    # By the name alone: adding an id does not move the others.
    return "test" if hashlib.sha256(name.encode()).digest()[0] < 64 else "train"
