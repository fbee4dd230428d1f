"""AudioSet's clips themselves: 10 s of sound each, from videos on YouTube.

22,160 balanced training clips and 20,371 evaluation clips (see `audioset_lists`). Only the lists
are published; where the sound comes from is said by the key `source` of a study. What cannot be had
any more is missing from the study, and counted in its table of what was acquired.
"""

import os
from pathlib import Path

from weakneg.datasets import Dataset, audioset_lists
from weakneg.datasets.local_copy import find_local_copy, how_to_name_one

CLASSES: tuple[str, ...] = tuple(each.name for each in audioset_lists.classes())
FILES: tuple[str, ...] = tuple(audioset_lists.LISTS)

_NAME = "audioset"
_LIST_OF = {"train": audioset_lists.TRAIN_LIST, "test": audioset_lists.EVAL_LIST}


def fetch(folder: str | os.PathLike, local_copy: str | os.PathLike | None = None) -> None:
    """Put the lists into `folder`, each checked by its md5.

    They come from `local_copy` (their folder, or its parent) if given, else from the folder
    `audioset` in the one that WEAKNEG_DATA names if it is there, else they are downloaded.

    Raises UserError when a list is not there or not the published one, or the download fails.
    """
    source = find_local_copy(_NAME, audioset_lists.FOLDER, FILES, local_copy)
    name_one = how_to_name_one(_NAME, audioset_lists.FOLDER)
    instead = f"{'run again' if source is None else 'replace it'}, or {name_one}"
    audioset_lists.fetch_lists(Path(folder), source, instead)


def recordings(folder: str | os.PathLike) -> list[dict]:
    """A dictionary per clip, in the order of the lists, fields as in `weakneg.audio.recordings`.

    start, end : seconds in the video

    Raises UserError when a list is missing or damaged.
    """
    return [
        {
            "id": clip_id,
            "split": split,
            "file": "",
            "start": segment.start,
            "end": segment.end,
            "labels": [CLASSES[number] for number in segment.labels],
        }
        for split, file in _LIST_OF.items()
        for clip_id, segment in audioset_lists.read_segments(Path(folder) / file).items()
    ]


def related_classes(folder: str | os.PathLike) -> dict[str, frozenset[str]]:
    """Class name -> names of the classes that it implies or that imply it, by the ontology.

    Raises UserError when the ontology in `folder` is missing or damaged.
    """
    return audioset_lists.related_classes(Path(folder) / audioset_lists.ONTOLOGY)


DATASET = Dataset(
    kind="spectrograms",
    class_names=CLASSES,
    files=FILES,
    fetch=fetch,
    recordings=recordings,
    split_sizes={"train": 22_160, "test": 20_371},
    sound_elsewhere=True,
    training_counts=tuple(each.training_clips for each in audioset_lists.classes()),
    aliases=audioset_lists.class_numbers(),
    related_classes=related_classes,
    link=audioset_lists.link,
)
