"""Synthetic positive bags: mixtures of positive bags, which are positive.

An epoch has its positive bags and, besides them, synthetic ones. Each is made from a positive bag
x and a partner x', another positive bag of the epoch:

    x + u (x' - x)

For `smote` (Chawla et al.), x' is one of the nearest positive bags, and u is uniform on [0, 1). For
`mixup` (Zhang et al.), x' is any of them, and 1 - u ~ Beta(alpha, alpha); since both labels are 1,
so is that of the mixture.

SMOTE is for points of a Euclidean space, and a bag is a set of them. Here a bag of feature vectors
has the place of their mean, by which neighbours are found, and its i-th vector moves towards the
i-th of the partner; if both have equally many, their mean moves by the formula. Features do not
change during training, so neither do neighbours, while those by the embeddings of the model would
mean little in the first epochs. Images and spectrograms have no such place.

Where only one of the two bags has an instance (or a spectrogram a frame), the mixture has that one.

References
----------
Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 16
(2002), section 4.2.

Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from weakneg.training.rows import together

if TYPE_CHECKING:
    from weakneg.config.strategy import Mixup, Smote
    from weakneg.config.training import AugmentationSettings
    from weakneg.training.batches import Inputs
    from weakneg.training.data import BagData

_BAGS_AT_A_TIME = 512


def with_synthetic(
    batches: Callable[..., Iterator[tuple["Inputs", Tensor]]],
    positives: "Mixup | Smote",
    data: "BagData",
    rows: Tensor,
    sizes: list[int],
    augmentation: "AugmentationSettings | None",
    seed: int,
    *,
    synthetic: Tensor,
) -> Iterator[tuple["Inputs", Tensor]]:
    """Yield the batches of an epoch, see `weakneg.training.batches`.

    Parameters
    ----------
    batches : callable
        Makes the batches without synthetic bags.
    positives : Mixup or Smote
        How bags are mixed.
    data, rows, sizes, augmentation, seed
        As for `batches`.
    synthetic : (n,) bool
        Which of `rows` stand for synthetic bags, each made from the bag of that row.
    """
    partner, weight = _draw(positives, data, rows, rows[synthetic], seed)
    places = [each.nonzero()[:, 0] for each in synthetic.split(sizes)]
    n_synthetic = [len(each) for each in places]
    partners = partner.split(n_synthetic)
    for (inputs, label), place, (x, sound), share in zip(
        batches(data, rows, sizes, augmentation, seed),
        together(places, data.device),
        data.inputs(partners),
        together(weight.split(n_synthetic), data.device),
        strict=True,
    ):
        if len(place):
            _mix(inputs, place, (data.normalise(x), sound), share, data.audio is not None)
            # Augmentation may have mixed the bag with a negative one before.
            label[place] = torch.lerp(torch.ones_like(share), label[place], share)
        yield inputs, label


def _draw(
    positives: "Mixup | Smote", data: "BagData", rows: Tensor, bases: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """The partners (m,) int64 of m bags, and their own shares (m,) float32 in the mixtures."""
    # The second word separates this stream from that of the augmentation.
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(b"positives"))))
    known = rows.unique()
    known = known[data.label[known.to(data.device)].cpu() == 1]
    number = torch.searchsorted(known, bases).numpy()
    n, m = len(known), len(bases)
    if n < 2:
        return bases, torch.ones(m)
    if positives.method == "smote":
        near = nearest(mean_features(data, known), min(positives.neighbours, n - 1))
        other = near[number, rng.integers(near.shape[1], size=m)]
        own = 1 - rng.random(m)
    else:
        other = (number + rng.integers(1, n, size=m)) % n
        own = rng.beta(positives.alpha, positives.alpha, m)
    return known[torch.from_numpy(other)], torch.from_numpy(own.astype(np.float32))


def nearest(points: np.ndarray, k: int) -> np.ndarray:
    """Row numbers (n, k) of the k nearest other points of each of n points (n, F)."""
    found: np.ndarray = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()[1]
    return found


def mean_features(data: "BagData", rows: Tensor) -> np.ndarray:
    """The mean of the feature vectors of each bag, (n, F) float32."""
    found = []
    for x, mask in data.inputs(rows.split(_BAGS_AT_A_TIME)):
        x = data.normalise(x)
        weights = x.new_ones(x.shape[:2]) if mask is None else mask.to(x.dtype)
        found.append((weights[..., None] * x).sum(1) / weights.sum(1, keepdim=True))
    features: np.ndarray = torch.cat(found).numpy(force=True)
    return features


def _mix(inputs: "Inputs", place: Tensor, others: "Inputs", share: Tensor, frames: bool) -> None:
    """Mix the bags at `place` with others, in place; masks are of frames or of instances."""
    (x, mask), (other, its_mask) = inputs, others
    own = x[place]
    mixed = torch.lerp(other, own, share.view(-1, *[1] * (x.dim() - 1)))
    if mask is not None and its_mask is not None:
        own_mask = mask[place]
        rows, rest = ((-1, 1, x.shape[2]), x.dim() - 3) if frames else (own_mask.shape, x.dim() - 2)
        here, there = (each.view(*rows, *[1] * rest) for each in (own_mask, its_mask))
        mixed = torch.where(here & there, mixed, torch.where(here, own, other))
        mask[place] = own_mask | its_mask
    x[place] = mixed
