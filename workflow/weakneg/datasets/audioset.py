"""AudioSet's clips: 10 s of sound each, from videos on YouTube.

22,160 balanced training clips and 20,371 evaluation clips (see `audioset_lists`). Only the lists
are published; the key `source` of a study says where the sound comes from. Clips that are no longer
available are left out of the study and counted in its table of acquired recordings.
"""

from pathlib import Path
from typing import Any

from weakneg.datasets import Dataset, Folder, audioset_lists
from weakneg.datasets.local_copy import find_local_copy, how_to_name_one

CLASSES: tuple[str, ...] = tuple(each.name for each in audioset_lists.classes())
FILES: tuple[str, ...] = tuple(audioset_lists.LISTS)

_NAME = "audioset"
_LIST_OF = {"train": audioset_lists.TRAIN_LIST, "test": audioset_lists.EVAL_LIST}


def fetch(folder: Folder, local_copy: Folder | None = None) -> None:
    """Put the lists into a folder, each checked by its md5.

    Parameters
    ----------
    folder : path
        Where to put them.
    local_copy : path, optional
        A folder that has them, or its parent. By default they come from the folder `audioset` in
        the folder that WEAKNEG_DATA names, if it exists, and are downloaded otherwise.

    Raises
    ------
    UserError
        When a list is missing or is not the published one, or the download fails.
    """
    source = find_local_copy(_NAME, audioset_lists.FOLDER, FILES, local_copy)
    name_one = how_to_name_one(_NAME, audioset_lists.FOLDER)
    instead = f"{'run again' if source is None else 'replace it'}, or {name_one}"
    audioset_lists.fetch_lists(Path(folder), source, instead)


def recordings(folder: Folder) -> list[dict[str, Any]]:
    """List the clips of both splits.

    Parameters
    ----------
    folder : path
        Folder of the lists.

    Returns
    -------
    list of dict
        One per clip, in the order of the lists, with the fields of `weakneg.audio.recordings`;
        `start` and `end` are seconds in the video.

    Raises
    ------
    UserError
        When a list is missing or damaged.
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


def related_classes(folder: Folder) -> dict[str, frozenset[str]]:
    """Read the related classes from the ontology in `folder`, see `audioset_lists`."""
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
