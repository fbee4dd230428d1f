"""Bags on a device, ready for a model."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import h5py
import numpy as np
import torch
from torch import Tensor

from weakneg.bags.draw import Bags
from weakneg.errors import UserError
from weakneg.features.store import Store
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.folding import folded
from weakneg.models.scores import BagScores
from weakneg.training.rows import ResidentRows, StreamedRows, load_rows


class BagData:
    """All bags of a split, on the device: images as stored (uint8), so that they are small; feature
    vectors, which cost little arithmetic, normalised once and for all; spectrograms as stored.

    Spectrograms and waveforms that do not fit on the device are read from the store, which must
    stay open, each time that they are asked for; what comes is the same.

    label   (B,) float32
    mask    (B, M) true where an instance is real, or None where all are
    group   (B,) numbers, or None, as in `Bags`
    instance_shape
    audio   how spectrograms were made, see `weakneg.audio.mel.LogMel.of`; of others None
    frames  (B,) int64, of spectrograms: how many of their rows hold sound
    score_batch_limit   the most bags to score at a time, once more were too many for the device
    """

    def __init__(
        self, store: Store, bags: Bags, device: torch.device, resident_bytes: int | None = None
    ):
        """resident_bytes: see `load_rows`."""
        self._store, self._bags, self._resident_bytes = store, bags, resident_bytes
        self.device = device
        self.label = torch.from_numpy(bags.label).to(device, torch.float32)
        self.mask = None if bags.mask.all() else torch.from_numpy(bags.mask).to(device)
        self.audio = store.parameters if store.kind == "spectrograms" else None
        self.instance_shape = tuple(store.x.shape[2 if store.kind == "clips" else 1 :])
        self.group = bags.group
        self.score_batch_limit: int | None = None

        shape = (-1, *[1] * (len(self.instance_shape) - 1))  # one number per channel
        self._mean = torch.from_numpy(store.mean).to(device, torch.float32).view(shape)
        self._std = torch.from_numpy(store.std).to(device, torch.float32).view(shape)
        self._normalised = False
        if self.audio is not None:
            self.frames = torch.from_numpy(store.length[bags.instances[:, 0]]).to(device)
            self._x = self._load(store.x)
            return
        x = torch.from_numpy(store.instances[bags.instances]).to(device)
        if len(self.instance_shape) == 1:
            x, self._normalised = self.normalise(x), True
        self._x = ResidentRows(x)

    def inputs(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Of each batch (b,) of rows in turn: x (b, M, *shape), not yet normalised; mask (b, M)."""
        for x, batch in zip(self._x.batches(batches), batches, strict=True):
            x = x if self.audio is None else x.unsqueeze(1)
            yield x, None if self.mask is None else self.mask[batch]

    def normalise(self, x: Tensor) -> Tensor:
        """The input of a model, float32: mean 0 and deviation 1."""
        return x if self._normalised else torch.sub(x, self._mean).div_(self._std)

    def input(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Bags of `rows` (b,): x (b, M, *shape), normalised; mask (b, M)."""
        ((x, mask),) = self.inputs([rows])
        return self.normalise(x), mask

    def waveforms(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Of each batch (b,) of rows in turn, the waveforms (b, S) int16; 32767 is full scale.

        Raises UserError when the store has none.
        """
        if self._store.waveform is None:
            raise UserError(
                "the features hold no waveforms, which mixing them needs: set audio: waveform: "
                "true in the study, so that the next run computes features with them."
            )
        return self._waveforms.batches(batches)

    def rows(self, rows: np.ndarray) -> Tensor:
        """Row numbers, on the device."""
        return torch.as_tensor(rows, device=self.device)

    @cached_property
    def _waveforms(self) -> ResidentRows | StreamedRows:
        return self._load(self._store.waveform)

    def _load(self, data: h5py.Dataset | np.ndarray) -> ResidentRows | StreamedRows:
        clips = self._bags.instances[:, 0]
        return load_rows(data, clips, self.device, self._resident_bytes)


@torch.inference_mode()
def score_bags(
    model: BagClassifier, data: BagData, rows: Tensor, batch_size: int, *, gradients: bool = False
) -> BagScores:
    """Score the bags of `rows` (b,) in that order, `batch_size` at a time, in evaluation mode.

    Where the memory of the device does not let so many be scored, half as many are, from then on
    with this data.

    Raises UserError when it does not let a single one be scored.
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
                    f"{data.device} has not the memory to score one bag, even with training: "
                    "score_batch_size 1: run fewer jobs on it, or use a larger one."
                ) from error
            data.score_batch_limit = size // 2
        if scored < len(rows):  # only here is free what the error held
            torch.cuda.empty_cache()
            print(
                f"{data.device} has not the memory to score {size} bags at a time (training: "
                f"score_batch_size): {size // 2} from now on",
                file=sys.stderr,
                flush=True,
            )
    return BagScores(*all_scores) if gradients else BagScores(*all_scores, None)


def _tensors(scores: BagScores) -> list[Tensor]:
    found = (scores.logits, scores.embeddings, scores.gradient_directions)
    return [each for each in found if each is not None]


def draw_of(
    draws: Mapping[int, Bags], seed: int, draw_per_seed: bool, manifest: str | os.PathLike
) -> Bags:
    """The bags that a seed uses, of the draws in `manifest`. UserError where it lacks them."""
    draw = seed if draw_per_seed else 0
    if draw not in draws:
        raise UserError(f"{manifest} has no draw {draw}: delete it, so that bags are drawn again.")
    return draws[draw]
