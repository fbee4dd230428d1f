"""The feature store: one HDF5 file per split, with the same layout for every data set.

The file holds these arrays for N rows (images or clips) and C classes:

- `x` (N, ...): images, each of which is an instance, or clips (N, T, F) of T frames with F numbers.
  For the kind "clips" every frame is an instance, frame t of clip i the instance i * T + t; for
  "spectrograms" the model makes the instances.
  The array is contiguous and uncompressed: row i lies at a fixed offset, so that a row is one read
  without an index, and so is the whole array. (With one chunk per row, the 50,000 images of
  CIFAR-10 take 0.32 s to read instead of 0.03 s, and 0.6 s to write instead of 0.1 s.) For
  spectrograms it is a virtual data set over the shards of features.
- `id` (N,): int64 or text, distinct; the origin of each row.
- `y` (N, C): uint8, 1 where the row belongs to the class, else 0; 255 (`UNKNOWN`) where that is
  not known, which only occurs where `parameters` says "unlisted": "unknown".
- `length` (N,): int64, only of clips; number of valid frames, the rest is zero padding.
- `start` (N,): float64, only of clips; start of the clip in its recording, in seconds.
- `waveform` (N, S): int16, only of spectrograms whose settings keep waveforms; samples of the clip,
  where 32767 is full scale, padded with zeros. Virtual as well.
- `group` (N,): text, only where clips share a group, such as their recording.
- `mean`, `std` (channels,): float64, statistics of the TRAINING split in the units of `x` as
  stored; the input of a model is (x - mean) / std. The test store holds the same numbers.

Attributes are `format_version`, `kind` ("images", "clips" or "spectrograms"), `parameters` (JSON:
how the store was made) and `class_names` (JSON). `x` and `waveform`, or their sources, have the
attribute `digest` (see `weakneg.io.hdf5`).

The bytes depend only on the contents: the file holds no time stamps.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from weakneg.datasets import UNKNOWN
from weakneg.errors import UserError
from weakneg.io.files import unreadable
from weakneg.io.hdf5 import Digest, Rows, SourceRows, new_file, open_file, reserve

FORMAT_VERSION = 3
LARGE = ("x", "waveform")
"""The arrays that stay in the file until they are indexed."""


@dataclass(frozen=True)
class Store:
    """A feature store, with the arrays and attributes of the file (see the module's docstring).

    `x` and `waveform` are numpy arrays, or, inside `open_store`, objects that read only the rows
    that are indexed.
    """

    x: Rows
    id: np.ndarray
    y: np.ndarray
    class_names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    kind: str
    parameters: Mapping[str, Any]
    length: np.ndarray | None = None
    start: np.ndarray | None = None
    waveform: Rows | None = None
    group: np.ndarray | None = None

    @property
    def negatives_observed(self) -> bool:
        """Whether a 0 in `y` was observed, since what is not listed is unknown."""
        return self.parameters.get("unlisted") == "unknown"

    def positive(self, class_name: str) -> np.ndarray:
        """Which rows belong to a class.

        Parameters
        ----------
        class_name : str
            Name of the class.

        Returns
        -------
        ndarray, (N,) bool
            True for the rows of the class.

        Raises
        ------
        UserError
            When the store does not have the class.
        """
        return self._labels(class_name) == 1

    def negative(self, class_name: str) -> np.ndarray:
        """Which rows are known not to belong to a class: (N,) bool, as for `positive`.

        Rows that are in neither are unknown.
        """
        return self._labels(class_name) == 0

    def _labels(self, class_name: str) -> np.ndarray:
        if class_name not in self.class_names:
            raise UserError(
                f"class {class_name} is not in the feature store, whose classes are "
                f"{', '.join(self.class_names)}."
            )
        return self.y[:, self.class_names.index(class_name)]


def write_store(path: str | os.PathLike, store: Store) -> None:
    """Write a feature store, whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    store : Store
        Its contents.

    Raises
    ------
    UserError
        When the folder cannot be written to or the disk is full.
    ValueError
        When lengths disagree, an id occurs twice, or `y` is not (N, C) of 0 and 1, and of 255 where
        the parameters allow it.
    """
    n, c = len(store.x), len(store.class_names)
    values = (0, 1, UNKNOWN) if store.negatives_observed else (0, 1)
    if store.y.shape != (n, c) or not np.isin(store.y, values).all():
        raise ValueError(f"y must be ({n}, {c}) of {values}, not of shape {store.y.shape}")
    if store.id.shape != (n,) or len(np.unique(store.id)) != n:
        raise ValueError(f"id must be {n} distinct values")
    text = store.id.dtype.kind == "U"
    contents: dict[str, Any] = {
        "x": store.x,
        "id": np.char.encode(store.id, "utf-8") if text else store.id.astype(np.int64),
        "y": store.y.astype(np.uint8),
        "mean": store.mean.astype(np.float64),
        "std": store.std.astype(np.float64),
    }
    if store.length is not None:
        contents["length"] = store.length.astype(np.int64)
        assert store.start is not None
        contents["start"] = store.start.astype(np.float64)
    if store.waveform is not None:
        contents["waveform"] = store.waveform
    if store.group is not None:
        contents["group"] = np.char.encode(store.group, "utf-8")
    with new_file(path) as file:
        begin(file, contents, store.kind, store.parameters, store.class_names)
        for name, values in contents.items():
            data = file.create_dataset(name, data=values, track_times=False)
            if name in LARGE:
                digest = Digest()
                digest.add(values)
                digest.write(data)


def begin(
    file: h5py.File,
    contents: Mapping[str, np.ndarray],
    kind: str,
    parameters: Mapping[str, Any],
    class_names: Sequence[str],
) -> None:
    """Reserve room for a store and write its attributes.

    Parameters
    ----------
    file : h5py.File
        The new file.
    contents : mapping of str to ndarray
        The arrays that will be written into it.
    kind, parameters, class_names
        See the module's docstring.
    """
    attributes = {
        "kind": kind,
        "parameters": json.dumps(dict(parameters), sort_keys=True),
        "class_names": json.dumps(list(class_names)),  # an array could only have 64 kB
    }
    n_bytes = sum(values.nbytes for values in contents.values())
    reserve(file, n_bytes + sum(map(len, attributes.values())))
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs.update(attributes)


@contextmanager
def open_store(path: str | os.PathLike) -> Iterator[Store]:
    """Open a feature store for reading.

    Parameters
    ----------
    path : path
        The file.

    Yields
    ------
    Store
        The store, whose `x` and `waveform` stay in the file until they are indexed.

    Raises
    ------
    UserError
        When the file, or a shard that it refers to, is missing, damaged or may not be read, when it
        is not a feature store, or has a different format version.
    """
    path = Path(path)
    again = "delete it, so that the next run builds it again"
    try:
        path.stat()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: build the features of this study first.") from None
    except OSError as error:
        raise unreadable(path, error, again) from error
    with open_file(path, again) as file, ExitStack() as stack:
        version = file.attrs.get("format_version")
        if version is None:
            raise UserError(f"{path} is HDF5 but not a feature store: {again}.")
        if version != FORMAT_VERSION:
            raise UserError(
                f"{path} has format version {version}, but this code reads {FORMAT_VERSION}: "
                f"{again}."
            )
        try:
            large: dict[str, Any] = {name: file[name] for name in LARGE if name in file}
            for name, data in large.items():
                if data.is_virtual:
                    large[name] = stack.enter_context(closing(SourceRows(data)))
            ids = file["id"][...]
            store = Store(
                x=large["x"],
                waveform=large.get("waveform"),
                id=np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids,
                y=file["y"][...],
                class_names=tuple(json.loads(file.attrs["class_names"])),
                mean=file["mean"][...],
                std=file["std"][...],
                kind=file.attrs["kind"],
                parameters=json.loads(file.attrs["parameters"]),
                **{name: file[name][...] for name in ("length", "start") if name in file},
                group=np.char.decode(file["group"][...], "utf-8") if "group" in file else None,
            )
        except (OSError, KeyError, ValueError) as error:
            raise unreadable(path, error, again) from error
        yield store


def read_store(path: str | os.PathLike, waveforms: bool = False) -> Store:
    """Read a feature store into memory.

    Parameters
    ----------
    path : path
        The file.
    waveforms : bool
        Whether to read the waveforms too.

    Returns
    -------
    Store
        The store.

    Raises
    ------
    UserError
        As for `open_store`.
    """
    with open_store(path) as store:
        kept = store.waveform[...] if waveforms and store.waveform is not None else None
        return replace(store, x=store.x[...], waveform=kept)
