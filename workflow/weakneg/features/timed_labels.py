"""When the labels of clips sound, where the list of recordings says so."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weakneg.audio import shards
from weakneg.audio.recordings import Recording
from weakneg.datasets.listened import HeardClip
from weakneg.io.hdf5 import open_file


def says_when(recording: Recording) -> bool:
    """Whether a recording says when its labels sound: those of a channel may last to infinity."""
    offsets = [offset for *_, offset in recording.events]
    return bool(offsets) and max(offsets) < math.inf


def timed_labels(store: str | os.PathLike[str], recordings: Sequence[Recording]) -> list[HeardClip]:
    """Find what sounds in the clips of a store, and when, by the labels of their recordings.

    Parameters
    ----------
    store : path
        The store of a split of recordings.
    recordings : sequence of Recording
        The recordings.

    Returns
    -------
    list of HeardClip
        In the order of the store, with times from the start of the clip. Clips of recordings that
        have labels, but do not say when these sound, are left out.

    Raises
    ------
    UserError
        When the store cannot be read.
    """
    listed = {recording.id: recording for recording in recordings}
    with open_file(Path(store), "delete it, so that the next run builds it again") as file:
        ids, names = (np.char.decode(file[name][...], "utf-8") for name in ("id", "recording"))
        spans = zip(file["start"][...].tolist(), file["end"][...].tolist(), strict=True)
        channels = file[shards.CHANNEL][...].tolist() if shards.CHANNEL in file else None
    found = []
    for row, (clip, name, (start, end)) in enumerate(
        zip(ids.tolist(), names.tolist(), spans, strict=True)
    ):
        recording = listed[name] if channels is None else listed[name].of_channel(channels[row])
        if recording.labels and not says_when(recording):
            continue
        sounds = tuple(
            (label, max(onset, start) - start, min(offset, end) - start)
            for label, onset, offset in recording.events
            if onset < end and offset > start
        )
        labels = frozenset(label for label, _, _ in sounds)
        found.append(HeardClip(clip, None, labels, sounds))
    return found
