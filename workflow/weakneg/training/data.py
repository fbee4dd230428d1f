"""Bags on a device, ready for a model."""

import copy
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import psutil
import torch
from torch import Tensor

from weakneg.bags.draw import UNKNOWN, Bags
from weakneg.errors import UserError
from weakneg.features.store import Store
from weakneg.io.hdf5 import Rows
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.folding import folded
from weakneg.models.scores import BagScores
from weakneg.training.noise import Noise
from weakneg.training.rows import BLOCK_BYTES, ResidentRows, StreamedRows, load_rows


class BatchTooLarge(UserError, torch.OutOfMemoryError):
    """A batch of padded bags is larger than the memory."""


class BagData:
    """All bags of a split, on the device.

    Images and spectrograms are held as stored, since that takes less memory. Feature vectors are
    normalised once, since then they take little arithmetic. Padding is only made for the bags of a
    batch, so that one huge bag does not make all of them huge. Spectrograms and waveforms that do
    not fit on the device are read from the store, which must stay open, whenever they are needed,
    with the same result.

    Parameters
    ----------
    store : Store
        Features of the split.
    bags : Bags
        Its B bags of up to M instances.
    device : torch.device
        Where to hold them.
    resident_bytes : int, optional
        See `load_rows`.
    noise : Noise, optional
        Background noise for augmentation.

    Attributes
    ----------
    bags : Bags
        The bags, with labels that may be unknown.
    label : (B,) or (B, C) float32
        What training assumes: 1 for positive bags, else 0, for unknown bags as well.
    observed : (B,) or (B, C) bool
        Whether somebody gave the bag its label. The others are only assumed to be negative.
    mask : (B, M) bool or None
        True where there is an instance; None if there is one everywhere. For spectrograms whose
        padding is masked, (B, T): true for rows that hold sound.
    group : (B,) int or None
        As in `Bags`.
    instance_shape : tuple of int
        Shape of an instance, or of a spectrogram.
    audio : mapping or None
        How spectrograms were made, see `weakneg.audio.mel.LogMel.of`; None for other data.
    frames : (B,) int64
        Spectrograms only: number of their rows that hold sound.
    noise : Noise or None
        Background noise, if augmentation adds any.
    score_batch_limit : int or None
        Largest number of bags to score at a time, set when more did not fit on the device.
    """

    def __init__(
        self,
        store: Store,
        bags: Bags,
        device: torch.device,
        resident_bytes: int | None = None,
        noise: Noise | None = None,
    ) -> None:
        self._store, self._resident_bytes, self.noise = store, resident_bytes, noise
        self.device = device
        self._label(bags)
        self.mask = None if bags.mask.all() else torch.from_numpy(bags.mask).to(device)
        self.audio = store.parameters if store.kind == "spectrograms" else None
        self.instance_shape = tuple(store.x.shape[2 if store.kind == "clips" else 1 :])
        self.group = bags.group
        self.score_batch_limit: int | None = None
        self._bag_bytes = 0  # of a padded bag, if it is not one row of the store

        shape = (-1, *[1] * (len(self.instance_shape) - 1))  # one number per channel
        self._mean = torch.from_numpy(store.mean).to(device, torch.float32).view(shape)
        self._std = torch.from_numpy(store.std).to(device, torch.float32).view(shape)
        self._normalised = False
        if self.audio is not None:
            assert store.length is not None
            self.frames = torch.from_numpy(store.length[bags.instances[:, 0]]).to(device)
            n_rows = self.instance_shape[0]
            if self.audio.get("padding") == "masked" and (self.frames < n_rows).any():
                self.mask = torch.arange(n_rows, device=device) < self.frames[:, None]
            self._x: ResidentRows | StreamedRows = self._load(store.x)
            return
        instances, places = _used_instances(store, bags)
        x = torch.from_numpy(instances).to(device)
        if len(self.instance_shape) == 1:
            x, self._normalised = self.normalise(x), True
        self._bag_bytes = bags.instances.shape[1] * x[0].nbytes
        self._x = ResidentRows(x, torch.from_numpy(places).to(device))

    def relabelled(self, bags: Bags) -> "BagData":
        """The data of bags that differ in their labels only; both share memory."""
        other = copy.copy(self)
        other._label(bags)
        return other

    def _label(self, bags: Bags) -> None:
        positive = bags.label == 1
        observed = bags.label != UNKNOWN if bags.negatives_observed else positive
        self.bags = bags
        self.label = torch.from_numpy(positive).to(self.device, torch.float32)
        self.observed = torch.from_numpy(observed).to(self.device)

    def inputs(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the inputs of a model for each batch, not yet normalised.

        Parameters
        ----------
        batches : sequence of (b,) int64
            Rows of bags, on any device.

        Yields
        ------
        (b, M, *shape)
            Bags.
        (b, M) or, for spectrograms, (b, T) bool, or None
            Their mask.

        Raises
        ------
        BatchTooLarge
            When a batch does not fit in memory.
        """
        self._check_room(max(map(len, batches), default=0))
        for x, batch in zip(self._x.batches(batches), batches, strict=True):
            x = x if self.audio is None else x.unsqueeze(1)
            yield x, None if self.mask is None else self.mask[batch]

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise the output of `inputs`: float32 with mean 0 and standard deviation 1."""
        return x if self._normalised else torch.sub(x, self._mean).div_(self._std)

    def input(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the bags of `rows` (b,), normalised, (b, M, *shape), and their mask (b, M)."""
        ((x, mask),) = self.inputs([rows])
        return self.normalise(x), mask

    def waveforms(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the waveforms of each batch.

        Parameters
        ----------
        batches : sequence of (b,) int64
            Rows of bags, on any device.

        Yields
        ------
        (b, S) int16
            Samples; 32767 is full scale.

        Raises
        ------
        UserError
            When the store has no waveforms.
        """
        if self._store.waveform is None:
            raise UserError(
                "the feature store has no waveforms, which mixup of waveforms and noise need: set "
                "audio: waveform: true in the study, so that the next run computes features with "
                "them."
            )
        return self._waveforms.batches(batches)

    def rows(self, rows: np.ndarray) -> Tensor:
        """Copy row numbers to the device."""
        return torch.as_tensor(rows, device=self.device)

    def _check_room(self, batch_size: int) -> None:
        """Raise BatchTooLarge where a batch does not fit in memory; on a GPU, PyTorch does that."""
        n_bytes = batch_size * self._bag_bytes
        if self.device.type == "cpu" and n_bytes > psutil.virtual_memory().available:
            sizes = self.bags.mask.sum(1)
            raise BatchTooLarge(
                f"{batch_size} bags at a time take {n_bytes / 1e9:.1f} GB, since each is padded to "
                f"the size of the largest, {sizes.max()} instances (the median is "
                f"{np.median(sizes):g}), and there is less memory: lower training: batch_size, or "
                "divide the large bags."
            )

    @cached_property
    def _waveforms(self) -> ResidentRows | StreamedRows:
        assert self._store.waveform is not None
        return self._load(self._store.waveform)

    def _load(self, data: Rows) -> ResidentRows | StreamedRows:
        clips = self.bags.instances[:, 0]
        return load_rows(data, clips, self.device, self._resident_bytes)


def _used_instances(store: Store, bags: Bags) -> tuple[np.ndarray, np.ndarray]:
    """Read the instances that bags use, without padding.

    Parameters
    ----------
    store : Store
        Images, or clips whose frames are the instances.
    bags : Bags
        B bags of up to M instances.

    Returns
    -------
    x : ndarray, (n + 1, ...)
        The instances that are used; the last one, that of the store, takes the place of padding.
    places : ndarray, (B, M) int64
        Rows of `x`.
    """
    of_clips = store.kind == "clips"
    n_frames = store.x.shape[1] if of_clips else 1
    used, numbers = np.unique(bags.instances[bags.mask], return_inverse=True)
    places = np.full(bags.instances.shape, len(used))
    places[bags.mask] = numbers
    row, frame = np.divmod(used, n_frames)
    n_rows = len(store.x)
    x = np.empty((len(used) + 1, *store.x.shape[2 if of_clips else 1 :]), store.x.dtype)
    x[-1] = store.x[n_rows - 1, n_frames - 1] if of_clips else store.x[n_rows - 1]
    step = max(1, BLOCK_BYTES // (n_frames * x[0].nbytes))
    for first in range(0, n_rows, step):
        here = slice(*np.searchsorted(row, [first, first + step]))
        if here.start == here.stop:
            continue
        rows = slice(first, first + step)
        if of_clips:
            block = store.x[rows, : frame[here].max() + 1]
            x[here] = block[row[here] - first, frame[here]]
        else:
            x[here] = store.x[rows][row[here] - first]
    return x, places


@torch.inference_mode()
def score_bags(
    model: BagClassifier, data: BagData, rows: Tensor, batch_size: int, *, gradients: bool = False
) -> BagScores:
    """Score bags, with the model in evaluation mode.

    Parameters
    ----------
    model : BagClassifier
        It is left in evaluation mode.
    data : BagData
        The bags.
    rows : (b,) int64
        Which bags to score, in this order.
    batch_size : int
        How many to score at a time. If there is not enough memory on the device, this is halved,
        for all later calls with this data, too.
    gradients : bool
        Whether to compute gradient directions.

    Returns
    -------
    BagScores
        Scores of the b bags.

    Raises
    ------
    UserError
        When there is not enough memory for a single bag.
    """
    model = folded(model.eval())
    all_scores: list[Tensor] = []
    scored = 0
    while scored < len(rows):
        size = min(batch_size, data.score_batch_limit or batch_size)
        try:
            for x, mask in data.inputs(rows[scored:].split(size)):
                scores = _tensors(model.score(data.normalise(x), mask, gradients))
                all_scores = all_scores or [t.new_empty(len(rows), *t.shape[1:]) for t in scores]
                for kept, of_batch in zip(all_scores, scores, strict=True):
                    kept[scored : scored + len(x)] = of_batch
                scored += len(x)
        except torch.OutOfMemoryError as error:
            if size == 1:
                raise UserError(
                    f"not enough memory on {data.device} to score a single bag: run fewer jobs on "
                    "it, or use a larger device."
                ) from error
            data.score_batch_limit = size // 2
        if scored < len(rows):  # the memory that the error held is free only here
            torch.cuda.empty_cache()
            print(
                f"not enough memory on {data.device} to score {size} bags at a time (training: "
                f"score_batch_size): now scoring {size // 2} at a time",
                file=sys.stderr,
                flush=True,
            )
    logits, embeddings, *directions = all_scores
    return BagScores(logits, embeddings, directions[0] if gradients else None)


def _tensors(scores: BagScores) -> list[Tensor]:
    found = (scores.logits, scores.embeddings, scores.gradient_directions)
    return [each for each in found if each is not None]


def draw_of(
    draws: Mapping[int, Bags], seed: int, draw_per_seed: bool, manifest: str | os.PathLike[str]
) -> Bags:
    """Choose the bags that a seed uses.

    Parameters
    ----------
    draws : mapping of int to Bags
        The draws in the manifest.
    seed : int
        The seed.
    draw_per_seed : bool
        Whether every seed has a draw of its own; if not, all use draw 0.
    manifest : path
        The manifest, for messages.

    Returns
    -------
    Bags

    Raises
    ------
    UserError
        When the manifest lacks the draw.
    """
    draw = seed if draw_per_seed else 0
    if draw not in draws:
        raise UserError(f"{manifest} has no draw {draw}: delete it, so that bags are drawn again.")
    return draws[draw]
