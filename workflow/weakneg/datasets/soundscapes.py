"""Synthetic soundscapes in the format of AudioSet: 4 s of sound events in noise, weakly labelled.

600 training and 300 test clips of 12 classes, synthesised by `weakneg.datasets.synthesis`, always
the same. The most frequent class is four times as frequent as the rarest. Of two classes that are
easily confused, one is frequent and the other rare: a frequent class has few hard negatives among
its negatives, and a rare class has many.

The folder of the data set contains

- `train_segments.csv`, `test_segments.csv`: the lists, in AudioSet's format;
- `class_labels_indices.csv`: the classes, in AudioSet's format;
- `train_strong.tsv`, `test_strong.tsv`: onset and offset of each event, in the format of
  AudioSet's temporally strong labels (Hershey et al., "The Benefit of Temporally-Strong Labels in
  Audio Event Classification", ICASSP 2021);
- `audio/<split>/<id>.flac`: the clips, 16 kHz, 16 bits, mono.

The samples are the same on every machine with the same numpy; the bytes of the FLAC files depend on
the libFLAC that comes with soundfile.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weakneg.datasets import Dataset, Folder
from weakneg.datasets.audioset_lists import FETCH_AGAIN, read_segments
from weakneg.errors import UserError
from weakneg.io.csv import format_table, read_table
from weakneg.io.files import replace_when_whole

Events = Mapping[str, Sequence[tuple[str, float, float]]]
"""Clip id -> its events: class name, onset and offset in seconds."""

# From the most frequent to the rarest.
CLASSES: tuple[str, ...] = (
    *("Voice", "Engine", "Rain", "Sweep", "Tone", "Bark"),
    *("Bird chirp", "Bell", "Siren", "Noise burst", "Click train", "Beeps"),
)
SPLIT_SIZES = {"train": 600, "test": 300}

FILES: tuple[str, ...] = (
    "class_labels_indices.csv",
    *("train_segments.csv", "test_segments.csv"),
    *("train_strong.tsv", "test_strong.tsv"),
)
_AUDIO = "audio"

_VERSION = 1  # of the clips: raise it to draw others
_RAREST = 1 / 4  # frequency of the last class, relative to the first
_LABELS = (0.4, 0.4, 0.2)  # shares of clips with one, two and three labels
_MIDS = {f"/s/{name.lower().replace(' ', '_')}": name for name in CLASSES}
_STRONG_COLUMNS = ("segment_id", "start_time_seconds", "end_time_seconds", "label")


def fetch(folder: Folder, local_copy: Folder | None = None) -> None:
    """Make the data set.

    Parameters
    ----------
    folder : path
        Where to put it. The lists are written last: if they exist, the data set is complete.
    local_copy : path, optional
        Not allowed, since there is nothing to copy.

    Raises
    ------
    UserError
        When a local copy is named.
    """
    if local_copy is not None:
        raise UserError(
            f"data: {{soundscapes: {local_copy}}} names a local copy, but these clips are always "
            "synthesised: remove the key."
        )
    folder = Path(folder)
    with replace_when_whole(folder / _AUDIO) as audio:
        texts = {"class_labels_indices.csv": _class_list()}
        for split in SPLIT_SIZES:
            (audio / split).mkdir(parents=True)
            events = _make_clips(split, audio / split)
            texts |= {_list(split): _segments(events), _strong_list(split): _strong(events)}
        for file in FILES:
            (folder / file).unlink(missing_ok=True)
        if (folder / _AUDIO).exists():
            shutil.rmtree(folder / _AUDIO)
    for file in FILES:
        with replace_when_whole(folder / file) as temporary:
            temporary.write_text(texts[file], encoding="utf-8", newline="")


def recordings(folder: Folder) -> list[dict[str, Any]]:
    """List the clips of both splits.

    Parameters
    ----------
    folder : path
        Folder of the data set.

    Returns
    -------
    list of dict
        One per clip, in the order of the lists, with the fields of `weakneg.audio.recordings`.

    Raises
    ------
    UserError
        When a list is missing or damaged, or the two lists of a split disagree.
    """
    folder = Path(folder)
    numbers = {mid: number for number, mid in enumerate(_MIDS)}
    rows = []
    for split in SPLIT_SIZES:
        events = _read_strong(folder / _strong_list(split))
        for clip_id, segment in read_segments(folder / _list(split), numbers).items():
            labels = [CLASSES[number] for number in segment.labels]
            of_clip = events.get(clip_id, [])
            if {label for label, *_ in of_clip} != set(labels):
                raise UserError(
                    f"{folder / _strong_list(split)}: the events of clip {clip_id} do not match "
                    f"its labels in {_list(split)}; {FETCH_AGAIN}."
                )
            rows.append(
                {
                    "id": clip_id,
                    "split": split,
                    "file": f"{_AUDIO}/{split}/{clip_id}.flac",
                    "start": segment.start,
                    "end": segment.end,
                    "labels": labels,
                    "events": of_clip,
                }
            )
    return rows


def _list(split: str) -> str:
    return f"{split}_segments.csv"


def _strong_list(split: str) -> str:
    return f"{split}_strong.tsv"


# ----------------------------------------------------------------------------- making the clips
def _make_clips(split: str, folder: Path) -> Events:
    """Write the clips of a split into `folder`, and return their events."""
    import numpy as np
    import soundfile

    from weakneg.datasets.synthesis import SAMPLE_RATE, Event, soundscape

    weights = _RAREST ** (np.arange(len(CLASSES)) / (len(CLASSES) - 1))
    events: dict[str, Sequence[Event]] = {}
    for number in range(SPLIT_SIZES[split]):
        # One generator per clip; PCG64 by name, since numpy's default may change.
        seed = np.random.SeedSequence((_VERSION, list(SPLIT_SIZES).index(split), number))
        rng = np.random.Generator(np.random.PCG64(seed))
        n_labels = rng.choice(len(_LABELS), p=_LABELS) + 1
        labels = rng.choice(CLASSES, n_labels, replace=False, p=weights / weights.sum())
        clip_id = f"{split}_{number:03}"
        samples, events[clip_id] = soundscape(labels.tolist(), rng)
        soundfile.write(folder / f"{clip_id}.flac", samples, SAMPLE_RATE, subtype="PCM_16")
    return events


def _class_list() -> str:
    rows = ((number, mid, name) for number, (mid, name) in enumerate(_MIDS.items()))
    return format_table(("index", "mid", "display_name"), rows)


def _segments(events: Events) -> str:
    from weakneg.datasets.synthesis import CLIP_SECONDS

    mids = {name: mid for mid, name in _MIDS.items()}
    labels = {clip: sorted({mids[label] for label, *_ in rows}) for clip, rows in events.items()}
    n_labels = sum(map(len, labels.values()))
    lines = [
        f"# Segments csv of synthetic soundscapes, version {_VERSION}",
        f"# num_ytids={len(labels)}, num_segs={len(labels)}, num_unique_labels={len(CLASSES)}, "
        f"num_positive_labels={n_labels}",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for clip, mids_of_clip in labels.items():
        lines.append(f'{clip}, 0.000, {CLIP_SECONDS:.3f}, "{",".join(mids_of_clip)}"')
    return "\n".join(lines) + "\n"


def _strong(events: Events) -> str:
    mids = {name: mid for mid, name in _MIDS.items()}
    rows = (
        (f"{clip}_0", f"{onset:.3f}", f"{offset:.3f}", mids[label])
        for clip, of_clip in events.items()
        for label, onset, offset in of_clip
    )
    return format_table(_STRONG_COLUMNS, rows, "\t")


# ----------------------------------------------------------------------------- reading the lists
def _read_strong(path: Path) -> Events:
    """Read a list of strong labels; UserError if it is missing or damaged."""
    events: dict[str, list[tuple[str, float, float]]] = {}
    for where, row in read_table(path, _STRONG_COLUMNS, FETCH_AGAIN, "\t"):
        segment, onset, offset, mid = (row[column] for column in _STRONG_COLUMNS)
        try:
            event = (_MIDS[mid], float(onset), float(offset))
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{where}: its label or times cannot be read ({error}); {FETCH_AGAIN}."
            ) from error
        # A segment is named by its clip and its start in ms.
        events.setdefault(segment.rsplit("_", 1)[0], []).append(event)
    return events


DATASET = Dataset(
    kind="spectrograms",
    class_names=CLASSES,
    files=FILES,
    fetch=fetch,
    made_here=True,
    recordings=recordings,
    split_sizes=SPLIT_SIZES,
    timed_labels=True,
)
