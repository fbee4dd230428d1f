"""The classes of a study."""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Annotated, Any

import yaml
from pydantic import (
    BeforeValidator,
    Field,
)

from weakneg.config.messages import no_such, problem
from weakneg.config.sections import DatasetSettings
from weakneg.config.values import Section, as_list, text_as_number
from weakneg.datasets import Dataset, OwnDataset


@lru_cache
def class_names(dataset: "DatasetSettings") -> tuple[str, ...]:
    """Names of all classes of a data set, in the order of their numbers."""
    data = dataset.definition
    if isinstance(data, OwnDataset):
        return data.read_classes(dataset.own_list[0])
    return data.class_names


class Top(Section):
    """The classes with the most clips."""

    top: int = Field(
        ge=1,
        description="Number of classes: those with the most clips in the training list, the lower "
        "class number first in a tie.",
    )


def class_choice(value: object) -> object:
    """Validator: `{top: n}` becomes a `Top`, names and numbers become a list."""
    if isinstance(value, Mapping):
        number = text_as_number(value.get("top"))
        if set(value) != {"top"} or not isinstance(number, int) or isinstance(number, bool):
            raise problem(f"must be {{top: n}} or a list of classes, not {dict(value)!r}")
        if number < 1:
            raise problem(f"must be at least 1, not {number}", "top")
        return Top(top=number)
    values = as_list(value)
    if not isinstance(values, list) or not values:
        raise problem(f"must be {{top: n}} or a list of classes, not {value!r}")
    for index, each in enumerate(values):
        if isinstance(each, bool) or not isinstance(each, str | int):
            text = f"must be a class name or number, not {each!r}: put the name in quotes"
            raise problem(text, index)
    return values


def wanted_classes(value: object) -> object:
    """Validator like `class_choice`; "all" stays as it is until the data set is known."""
    return value if value == "all" else class_choice(value)


ClassChoice = Annotated[
    Any,  # Top, or a list of names and numbers
    BeforeValidator(class_choice, Top | str | int | list[str | int]),
]


def most_frequent(classes: Iterable[str], n: int, dataset: DatasetSettings) -> list[str]:
    """The classes with the most clips in the training list, in descending order.

    Parameters
    ----------
    classes : iterable of str
        Names of the classes to choose from.
    n : int
        How many to choose.
    dataset : DatasetSettings
        Their data set.

    Returns
    -------
    list of str
        Names of the classes; in a tie the lower class number comes first.

    Raises
    ------
    ValueError
        When there are fewer than `n` classes, or the data set has no clip counts.
    """
    counts = dataset.training_counts
    if counts is None:
        raise ValueError(f"'top' needs clip counts, and {dataset.name} has none: name the classes")
    numbers = {name: number for number, name in enumerate(class_names(dataset))}
    classes = sorted(classes, key=lambda name: (-counts[name], numbers[name]))
    if n > len(classes):
        raise ValueError(f"top: {n} is more than the number of classes ({len(classes)})")
    return classes[:n]


def learnable(dataset: DatasetSettings) -> list[str]:
    """The classes with positives and known negatives in both splits.

    Others cannot be trained, or not tested.
    """
    data = dataset.definition
    if not isinstance(data, OwnDataset):
        return list(class_names(dataset))
    needed = [data.class_sizes(*dataset.own_list)]
    if dataset.negative_counts is not None:
        needed.append(dataset.negative_counts)
    return [
        name
        for name in class_names(dataset)
        if all(sizes[split][name] for sizes in needed for split in ("train", "test"))
    ]


def check_sizes(classes: Iterable[str], dataset: DatasetSettings) -> None:
    """Refuse classes of a user's list that are not `learnable`."""
    data = dataset.definition
    assert isinstance(data, OwnDataset)
    what = "recordings" if data.kind == "spectrograms" else "bags"
    _refuse_lacking(
        classes,
        data.class_sizes(*dataset.own_list),
        f"too few {what} of",
        f"change the split of some {what} in {dataset.list}",
    )
    if dataset.negative_counts is not None:
        _refuse_lacking(
            classes,
            dataset.negative_counts,
            f"too few {what} that are known not to hold",
            "say annotated: whole under dataset, if recordings were annotated as a whole, so that "
            "what carries no label is absent"
            if dataset.annotated == "listed"
            else f"name the class in the column negatives of more {what} in {dataset.list}",
        )


def _refuse_lacking(
    classes: Iterable[str], sizes: Mapping[str, Mapping[str, int]], lack: str, remedy: str
) -> None:
    lacking = [
        f"{name} ({sizes['train'][name]} for training, {sizes['test'][name]} for testing)"
        for name in classes
        if not (sizes["train"][name] and sizes["test"][name])
    ]
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise problem(
            f"{lack} {', '.join(lacking[:5])}{more}: name only the other classes, use {{top: n}}, "
            f"or {remedy}",
            "classes",
        )


class AmbiguousNumber(ValueError):
    """A number that may stand for a name of a class, or for its position."""


def _check_number(value: str | int, names: Sequence[str]) -> None:
    """Refuse a number where it may be meant as a name: YAML reads 003 as 3, and 010 as 8."""
    number = text_as_number(value)
    if not isinstance(number, int) or (isinstance(value, str) and value in names):
        return
    numbers = {name: _as_number(name) for name in names}
    like_numbers = [name for name, meant in numbers.items() if meant]
    others = {name for name, meant in numbers.items() if number in meant} - {str(number)}
    if like_numbers and (others or str(number) not in names):
        meant = min(others, default=like_numbers[0])
        raise AmbiguousNumber(
            f"{number} may be a class number or a name that was read as a number, since names of "
            f"classes look like numbers: put the name in quotes, as in classes: ['{meant}']"
        )


@cache
def _as_number(name: str) -> set[int | float]:
    """The numbers that a name is read as, without quotes: by YAML, and by Snakemake."""
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, name, (True, False))
    found: set[int | float] = {float(name)} if name.isascii() and name.isdecimal() else set()
    if tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        found.add(yaml.safe_load(name))
    return found


def class_name(value: str | int, dataset: DatasetSettings) -> str:
    """Find a class by name, folder name, alias or number.

    Parameters
    ----------
    value : str or int
        What the configuration says.
    dataset : DatasetSettings
        The data set of the class.

    Returns
    -------
    str
        Name of the class.

    Raises
    ------
    ValueError
        When there is no such class.
    AmbiguousNumber
        When a number may be meant as a name.
    """
    names = class_names(dataset)
    _check_number(value, names)
    if str(value) in names:
        return str(value)
    number = text_as_number(value)
    if isinstance(number, int) and 0 <= number < len(names):
        return names[number]
    data = dataset.definition
    if isinstance(data, Dataset) and str(number) in data.aliases:
        return names[data.aliases[str(number)]]
    same = [name for name in names if class_slug(name) == str(number).lower()]
    if len(same) == 1:
        return same[0]
    what = f"a class of {dataset.name}"
    if isinstance(number, int):
        what += f" (names, or numbers from 0 to {len(names) - 1})"
    raise ValueError(no_such(number, what, names))


@cache
def class_slug(name: str) -> str:
    """A class name as part of a path, such as "male_speech_man_speaking".

    Letters lose their accents and become lower case, and everything except letters and digits
    becomes `_`. A name with letters of other scripts ends with a checksum.
    """
    plain = unicodedata.normalize("NFKD", name)
    slug = re.sub("[^a-z0-9]+", "_", plain.encode("ascii", "ignore").decode().lower()).strip("_")
    if any(letter.isalnum() and not letter.isascii() for letter in plain):
        slug = f"{slug}_{zlib.crc32(name.encode()):08x}".strip("_")
    return slug


_MISSING = {*("nan", "na", "n/a", "none", "null", "nil", "no", "yes", "true", "false", "-", "?")}


def reading(dataset: DatasetSettings) -> Iterator[str]:
    """Say how a list in the format of another tool is read.

    Parameters
    ----------
    dataset : DatasetSettings
        The data set; nothing is said about this project's own lists.

    Yields
    ------
    str
        A line.
    """
    if dataset.format is None:
        return
    means = {
        "whole": "what carries no label is absent; if not all of it was annotated, say annotated: "
        "listed",
        "listed": "a class is absent where only others are listed, and unknown elsewhere; if whole "
        "recordings were annotated, say annotated: whole",
    }
    yield (
        f"{dataset.list}: format {dataset.format}, annotated {dataset.annotated}: "
        f"{means[dataset.annotated or 'whole']}."
    )


def questions(dataset: DatasetSettings) -> Iterator[str]:
    """Ask about names of classes in a user's list that may be mistakes.

    Parameters
    ----------
    dataset : DatasetSettings
        The data set; nothing is asked about a published one.

    Yields
    ------
    str
        A question, with what to do.
    """
    data = dataset.definition
    if not isinstance(data, OwnDataset):
        return
    yield from reading(dataset)
    names = class_names(dataset)
    sizes = data.class_sizes(*dataset.own_list)
    of_slug: dict[str, list[str]] = {}
    with_part: Counter[str] = Counter()
    for name in names:
        of_slug.setdefault(class_slug(name), []).append(name)
        with_part.update({part.strip() for part in name.split(",")})
    for name in names:
        if name.lower() in _MISSING:
            count = sum(of_split[name] for of_split in sizes.values())
            yield (
                f"{dataset.list}: is {name!r}, in {count:,} rows, the name of a class? If it means "
                "that there is no label, leave the value empty."
            )
        parts = name.split(",")
        if len(parts) > 1 and any(
            not part.startswith(" ") or with_part[part.strip()] > 1 for part in parts[1:]
        ):
            yield (
                f"{dataset.list}: is {name!r} the name of one class? Several are separated by "
                "semicolons."
            )
    absent = dataset.negative_counts or {}
    for name in sorted({name for of_split in absent.values() for name in of_split} - {*names}):
        yield (
            f"{dataset.list}: is {name!r} the name of a class? It is in negatives, but never in "
            "labels, so that nothing learns it."
        )
    for same in of_slug.values():
        if len(same) > 1:
            yield (
                f"{dataset.list}: are {' and '.join(map(repr, same))} one class? As several, each "
                "is a negative of the others: write it one way."
            )
