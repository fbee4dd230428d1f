"""Feature stores of both splits, from shards of features.

A store of spectrograms or embeddings (see `weakneg.features.store`) holds none itself: its `x` is
an HDF5 virtual data set over the shards, which are named by paths relative to the folder of the
store. The folder of results can therefore be moved or mounted elsewhere as a whole. Where HDF5
itself cannot open a shard, `x` is NaN; `weakneg.features.store` raises an error.
"""

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from weakneg.audio import shards as features
from weakneg.audio.mel import LogMel
from weakneg.audio.recordings import SPLITS, Recording, read_recordings
from weakneg.config.encoder import Encoding
from weakneg.config.sections import AudioSettings
from weakneg.config.stages import OF_STORES, EmbeddingSettings
from weakneg.datasets import Problem, Unlisted
from weakneg.datasets.corrections import channel_of
from weakneg.errors import UserError
from weakneg.features import store
from weakneg.features.doubts import (
    Size,
    check_outside,
    event_doubts,
    outside_events,
    same_sound,
    summary,
)
from weakneg.features.labels import ListedEvent, label_clips
from weakneg.io.csv import write_table
from weakneg.io.hdf5 import encoded, new_file, open_file

if TYPE_CHECKING:
    from weakneg.config.stages import FeaturesSettings

PSLA_MEAN, PSLA_STD = -4.6476, 4.5699
"""Mean and standard deviation of AudioSet's log-mel spectrograms in the recipes of PSLA."""

_CONSTANT = 1e-12  # variance over squared mean; rounding makes it more than 0

_AGAIN = "delete what is left of it, so that the next run makes it again"


def make(
    settings: "FeaturesSettings",
    folder: Path,
    inputs: Sequence[Path],
    train_store: Path,
    test_store: Path,
    problems: Path,
) -> None:
    """Write the stores of an audio data set.

    The parameters are those of `weakneg.features.build.build_features`; `folder` is not used.
    `inputs` holds the list of recordings and then the shards, each in a folder named after its
    split.
    """
    recordings, *files = inputs
    shards = {split: [file for file in files if file.parent.name == split] for split in SPLITS}
    assert settings.audio is not None
    assert settings.class_names is not None
    join(
        recordings,
        shards,
        settings.class_names,
        settings.audio.model_dump(),
        train_store,
        test_store,
        problems,
        settings.dataset.unlisted,
        settings.encoding,
    )


def join(
    recordings: str | os.PathLike,
    shards: Mapping[str, Sequence[str | os.PathLike]],
    classes: Sequence[str],
    settings: Mapping[str, Any],
    train_store: str | os.PathLike,
    test_store: str | os.PathLike,
    problems: str | os.PathLike,
    unlisted: Unlisted = "negative",
    encoding: Encoding | None = None,
) -> None:
    """Write the stores of both splits over their shards, and the list of all problems.

    A clip gets the labels of the events that overlap it, or those of its recording where the
    recording has no events (see `weakneg.features.labels`). An event that labels no clip (because
    it lies outside the recording, or its clip has no sound) is listed as a problem. How many there
    are is said on both output streams: on the console, and in the log of the job.

    Parameters
    ----------
    recordings : path
        The list of recordings.
    shards : mapping of str to sequence of path
        The shards of each split, in order.
    classes : sequence of str
        Names of the classes, in the order of the columns of `y`.
    settings : mapping
        `AudioSettings`; those of the shards must agree.
    train_store, test_store : path
        The stores to write.
    problems : path
        The CSV file to write.
    unlisted : {"negative", "unknown"}
        See `DatasetSettings`.
    encoding : Encoding, optional
        That of the shards, if they hold embeddings.

    Raises
    ------
    UserError
        When a file is missing or damaged, when list, settings and shards do not match, when a label
        is not a class, when a split has no clips, or when too many events of a class lie outside
        their recordings.
    """
    audio = AudioSettings.model_validate(settings)
    made_with = audio.model_dump(exclude=OF_STORES)
    if encoding is not None:
        made_with = EmbeddingSettings.cut(audio, encoding).model_dump()
    listed = {recording.id: recording for recording in read_recordings(recordings, classes)}
    joined = {
        split: _Joined(split, [Path(path) for path in shards[split]], made_with, listed)
        for split in SPLITS
    }
    heard = joined["train"].heard | joined["test"].heard
    channels = joined["train"].channels() | joined["test"].channels()
    sizes = {
        name: Size(found.seconds, channels.get(name, math.inf)) for name, found in heard.items()
    }
    outside = outside_events(listed, sizes, audio.sample_rate)
    check_outside(outside, listed, sizes, audio.max_outside)
    for of_split in joined.values():
        of_split.label(listed, classes, audio, unlisted)
    if settings["statistics"] == "psla":
        mean, std = np.array([PSLA_MEAN]), np.array([PSLA_STD])
    else:
        mean, std = joined["train"].statistics()
    parameters = {**settings, "unlisted": unlisted} if unlisted == "unknown" else settings
    if encoding is not None:
        file = joined["train"].encoder
        parameters = {**parameters, "encoding": encoding.model_dump(), "encoder": file}
    for split, path in zip(SPLITS, (train_store, test_store), strict=True):
        joined[split].write(path, listed, classes, parameters, mean, std)
    lost = [event for of_split in joined.values() for event in of_split.lost]
    same = same_sound(listed, heard)
    rows = [(split, *problem) for split in SPLITS for problem in joined[split].problems]
    for doubt in [*event_doubts(outside, lost, listed, sizes), *same]:
        rows.append((listed[doubt.id].split, *doubt))
    write_table(problems, Problem._fields, sorted(rows, key=lambda row: SPLITS.index(row[0])))
    mel = LogMel.of(settings) if encoding is None else None
    for line in summary(outside, lost, same, listed, heard, mel):
        for stream in (sys.stdout, sys.stderr):  # the console, and the log of the job
            print(f"{problems}: {line}", file=stream)


class _Joined:
    """The shards of a split; everything except spectrograms and waveforms is in memory.

    Attributes
    ----------
    columns : dict of str to ndarray
        The columns of all clips, by their names in the file.
    problems : list of list of str
        Rows of id, problem and consequence.
    heard : dict of str to Heard
        The recordings that were read to their end, by id.
    lost : list of ListedEvent
        The events that label no clip.
    encoder : str
        Path of the file of the encoder, when a shard of embeddings was made; "" for spectrograms.
    """

    def __init__(
        self,
        split: str,
        shards: Sequence[Path],
        made_with: Mapping[str, Any],
        listed: Mapping[str, Recording],
    ):
        self._split, self._shards = split, shards
        self.encoder = ""
        self.problems: list[list[str]] = []
        self._shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in store.LARGE}
        self._dtypes: dict[str, np.dtype] = {}
        self._sums = np.zeros((3, 1))
        self._n_recordings = 0
        self.heard: dict[str, features.Heard] = {}
        self.lost: list[ListedEvent] = []
        parts: dict[str, list[np.ndarray]] = {name: [] for name in features.columns_of(made_with)}
        for path in shards:
            self._read(path, made_with, parts)
        n_clips = sum(map(len, parts["id"]))
        if not n_clips:
            raise UserError(f"the {split} split has no usable clips{self._most_common()}")
        self.columns = {name: np.concatenate(part) for name, part in parts.items()}
        ids, counts = np.unique(self.columns["id"], return_counts=True)
        if len(ids) < n_clips:
            raise UserError(
                f"two clips of the {split} split have the id {str(ids[counts > 1][0])!r}: rename "
                "one of their recordings."
            )
        mine = {recording for recording, row in listed.items() if row.split == split}
        strange = set(self.columns["recording"].tolist()) - mine
        if strange or self._n_recordings != len(mine):
            raise UserError(
                f"the {self._n_recordings} recordings in the shards of the {split} split are not "
                f"the {len(mine)} in the list: delete the shards, so that the next run makes them "
                "again."
            )
        begins = np.array(
            [listed[name].start or 0.0 for name in self.columns["recording"].tolist()]
        )
        self.columns["start"] += begins
        self.columns["end"] += begins

    def _most_common(self) -> str:
        """The most common problem and the first recording that has it, for a message."""
        if not self.problems:
            return "."
        ((problem, count),) = Counter(problem for _, problem, _ in self.problems).most_common(1)
        first = next(recording for recording, named, _ in self.problems if named == problem)
        return f"; the most common problem ({count} times, first for {first!r}): {problem}."

    def _read(
        self, path: Path, made_with: Mapping[str, Any], parts: dict[str, list[np.ndarray]]
    ) -> None:
        try:
            with open_file(path, _AGAIN) as file:
                if file.attrs["format_version"] != features.FORMAT_VERSION:
                    raise UserError(f"{path} has a different format version: {_AGAIN}.")
                if json.loads(file.attrs["settings"]) != made_with:
                    raise UserError(f"{path} was made with different settings: {_AGAIN}.")
                self._n_recordings += file.attrs["n_recordings"]
                for name, dtype in features.columns_of(made_with).items():
                    values = file[name][...]
                    parts[name].append(np.char.decode(values, "utf-8") if dtype is str else values)
                self.problems += np.char.decode(file["problems"][...], "utf-8").tolist()
                heard = np.char.decode(file["heard"][...], "utf-8").tolist()
                self.heard |= {row[0]: features.Heard.of(*row) for row in heard}
                sums = [file[name][()] for name in ("sum", "sum_of_squares", "count")]
                self._sums = self._sums + np.stack(np.broadcast_arrays(*map(np.atleast_1d, sums)))
                self.encoder = file.attrs.get("encoder", "")
                for name in store.LARGE:
                    if name in file:
                        self._shapes[name].append(file[name].shape)
                        self._dtypes[name] = file[name].dtype
        except (OSError, KeyError) as error:
            raise UserError(f"{path} is not a shard of features: {_AGAIN}.") from error

    def channels(self) -> dict[str, int]:
        """Number of channels of the recordings with clips, if each is heard.

        A silent channel has no clips, but a problem for each.
        """
        found: dict[str, int] = {}
        if features.CHANNEL not in self.columns:
            return found
        names, numbers = (self.columns[each].tolist() for each in ("recording", features.CHANNEL))
        silent = (
            (clip.rpartition("@")[0], number)
            for clip, _, _ in self.problems
            if (number := channel_of(clip))
        )
        for name, number in (*zip(names, numbers, strict=True), *silent):
            found[name] = max(number, found.get(name, 0))
        return found

    def label(
        self,
        listed: Mapping[str, Recording],
        classes: Sequence[str],
        audio: AudioSettings,
        unlisted: Unlisted,
    ) -> None:
        """Add the column `y`; the events that label no clip are in `lost`."""
        self.columns["y"], self.lost = label_clips(
            self.columns["recording"],
            self.columns["start"],
            self.columns["end"],
            listed,
            classes,
            audio.sample_rate,
            audio.min_overlap,
            unlisted,
            self.columns.get(features.CHANNEL),
        )

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the features without padding.

        Both are (1,) for spectrograms and (F,) for embeddings. That of a constant feature is 1, so
        that it can be divided by.
        """
        total, total_of_squares, count = self._sums
        mean = total / count
        variance = total_of_squares / count - mean**2
        return mean, np.sqrt(np.where(variance > _CONSTANT * mean**2, variance, 1.0))

    def write(
        self,
        path: str | os.PathLike,
        listed: Mapping[str, Recording],
        classes: Sequence[str],
        settings: Mapping[str, Any],
        mean: np.ndarray,
        std: np.ndarray,
    ) -> None:
        """Write the store of the split to `path`."""
        rows = [listed[recording] for recording in self.columns["recording"].tolist()]
        contents = dict(self.columns)
        contents |= {"mean": mean, "std": std}
        groups = np.array([row.group or row.id for row in rows])
        if len(np.unique(groups)) < len(groups):
            contents["group"] = groups
        with new_file(path) as file:
            kind = "clips" if self.encoder else "spectrograms"
            store.begin(file, contents, kind, {**settings, "split": self._split}, classes)
            for name, values in contents.items():
                file[name] = encoded(values.tolist()) if values.dtype.kind == "U" else values
            for name in store.LARGE:
                if self._shapes[name]:
                    self._write_virtual(file, name, Path(path).parent)

    def _write_virtual(self, file: h5py.File, name: str, folder: Path) -> None:
        shapes = self._shapes[name]
        n_clips = sum(shape[0] for shape in shapes)
        layout = h5py.VirtualLayout((n_clips, *shapes[0][1:]), self._dtypes[name])
        layout.dcpl.set_obj_track_times(False)  # equal contents give equal bytes
        first = 0
        for path, shape in zip(self._shards, shapes, strict=True):
            if shape[0]:
                relative = Path(os.path.relpath(path, folder)).as_posix()
                layout[first : first + shape[0]] = h5py.VirtualSource(relative, name, shape)
                first += shape[0]
        missing = np.nan if self._dtypes[name].kind == "f" else 0
        file.create_virtual_dataset(name, layout, fillvalue=missing)
