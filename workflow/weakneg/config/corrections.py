"""The corrections of a study: which labels of which classes they change."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from weakneg.config.messages import no_such
from weakneg.datasets import OwnDataset, Unlisted
from weakneg.datasets.corrections import (
    Correction,
    read_corrections,
    recording_of,
    refuse_contradiction,
)
from weakneg.errors import UserError


class Corrected(NamedTuple):
    """What is corrected of a class and a split.

    Attributes
    ----------
    files : tuple of str
        The lists that do it.
    digest : str
        Of what they say of them: 16 hexadecimal digits.
    """

    files: tuple[str, ...]
    digest: str


@lru_cache
def corrected(
    files: tuple[str, ...],
    data: OwnDataset,
    own_list: tuple[Any, str],
    folder: str,
    unlisted: Unlisted,
) -> dict[tuple[str, str], Corrected]:
    """Find what lists of corrections change.

    Parameters
    ----------
    files : tuple of str
        The lists.
    data, own_list, folder, unlisted
        The data set of recordings, the arguments of its functions, its folder, and what a class is
        that the list does not name.

    Returns
    -------
    dict of (str, str) to Corrected
        By class and split. What confirms the label of a recording changes nothing.

    Raises
    ------
    UserError
        Naming the line, when a list has a mistake, names a recording or a class that does not
        exist, or contradicts another one.
    """
    assert data.recordings is not None
    recordings = {row["id"]: row for row in data.recordings(*own_list)}
    classes = data.read_classes(own_list[0])
    first: dict[tuple[object, ...], Correction] = {}
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for file in files:
        for each in read_corrections(file):
            if each.class_name not in classes:
                raise UserError(f"{each.where}: {no_such(each.class_name, 'a class', classes)}")
            name = recording_of(each.id, recordings, folder)
            if name is None:
                raise UserError(f"{each.where}: {no_such(each.id, 'a recording', recordings)}")
            place: tuple[object, ...]
            place = (each.id if each.start is None else name, each.start, each.class_name)
            if each.channel is not None:
                place = (*place, each.channel)
            refuse_contradiction(first.setdefault(place, each), each.answer)
            if not _confirms(each, recordings[name], unlisted):
                split = recordings[name]["split"]
                of_file = found.setdefault((each.class_name, split), {}).setdefault(file, set())
                of_file.add(repr((*place, each.answer)))
    return {
        key: Corrected(tuple(of_files), _digest(set().union(*of_files.values())))
        for key, of_files in found.items()
    }


def _confirms(correction: Correction, recording: Mapping[str, Any], unlisted: Unlisted) -> bool:
    """Whether all clips of the recording have this label already."""
    has_label = correction.class_name in recording["labels"]
    if correction.answer == "yes":
        return has_label and not recording["events"]
    if correction.answer == "unsure" or has_label:
        return False
    if unlisted == "negative":
        return True
    absent = (correction.class_name, 0.0, float("inf"))
    channels = recording["negative_channels"] or [0] * len(recording["negatives"])
    return any(
        each == absent and channel in (0, correction.channel)
        for each, channel in zip(recording["negatives"], channels, strict=True)
    )


def _digest(said: set[str]) -> str:
    return hashlib.sha256("\n".join(sorted(said)).encode()).hexdigest()[:16]
