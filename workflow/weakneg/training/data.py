"""Bags on a device, ready for a model."""

import os
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from weakneg.bags import Bags
from weakneg.errors import UserError
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.scores import BagScores
from weakneg.store import Store


class BagData:
    """All bags of a split, as one tensor on the device; `input` gives that of a model.

    x      (B, M, *instance shape): images as stored (uint8), so that it is small; feature vectors,
           which cost little arithmetic, as the model wants them
    mask   (B, M) true where an instance is real, or None where all are
    label  (B,) float32
    group  (B,) numbers, or None, as in `Bags`
    """

    def __init__(self, store: Store, bags: Bags, device: torch.device):
        self.x = torch.from_numpy(store.instances[bags.instances]).to(device)
        self.mask = None if bags.mask.all() else torch.from_numpy(bags.mask).to(device)
        self.label = torch.from_numpy(bags.label).to(device, torch.float32)
        self.group = bags.group
        shape = (-1, *[1] * (len(self.instance_shape) - 1))  # one number per channel
        self.mean = torch.from_numpy(store.mean).to(device, torch.float32).view(shape)
        self.std = torch.from_numpy(store.std).to(device, torch.float32).view(shape)
        self.normalised = len(self.instance_shape) == 1
        if self.normalised:
            self.x = self._normalise(self.x)

    @property
    def device(self) -> torch.device:
        return self.x.device

    @property
    def instance_shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[2:])

    def input(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Bags of `rows` (b,): x (b, M, *shape) float32, mean 0 and deviation 1; mask (b, M)."""
        x = self.x[rows] if self.normalised else self._normalise(self.x[rows])
        return x, None if self.mask is None else self.mask[rows]

    def _normalise(self, x: Tensor) -> Tensor:
        return x.float().sub_(self.mean).div_(self.std)

    def rows(self, rows: np.ndarray) -> Tensor:
        """Row numbers, on the device."""
        return torch.as_tensor(rows, device=self.device)


@torch.inference_mode()
def score_bags(
    model: BagClassifier, data: BagData, rows: Tensor, batch_size: int, *, gradients: bool = False
) -> BagScores:
    """Score the bags of `rows` (b,) in that order, `batch_size` at a time, in evaluation mode."""
    model.eval()
    scores = [model.score(*data.input(batch), gradients) for batch in rows.split(batch_size)]
    return BagScores(
        torch.cat([each.logits for each in scores]),
        torch.cat([each.embeddings for each in scores]),
        torch.cat([each.gradient_directions for each in scores]) if gradients else None,
    )


def draw_of(
    draws: Mapping[int, Bags], seed: int, draw_per_seed: bool, manifest: str | os.PathLike
) -> Bags:
    """The bags that a seed uses, of the draws in `manifest`. UserError where it lacks them."""
    draw = seed if draw_per_seed else 0
    if draw not in draws:
        raise UserError(f"{manifest} has no draw {draw}: delete it, so that bags are drawn again.")
    return draws[draw]
