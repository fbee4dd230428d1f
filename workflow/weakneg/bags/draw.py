"""Bags, and how they are drawn from instances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weakneg.errors import UserError

PADDING = -1


@dataclass(frozen=True)
class Bags:
    """One draw of B bags.

    bag : (B,) int64, distinct numbers
    label : (B,) int8, 0 or 1
    density : (B,) float64, share of positive instances; NaN where it is not known
    instances : (B, M) int64, numbers of the store's instances; bags smaller than M end in -1
    group : (B,) int64, the same of bags that belong together; None: each is alone
    """

    bag: np.ndarray
    label: np.ndarray
    density: np.ndarray
    instances: np.ndarray
    group: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """(B, M) bool: True where `instances` holds a row, False where it is padding."""
        mask: np.ndarray = self.instances != PADDING
        return mask

    def __len__(self) -> int:
        return len(self.bag)


def draw(
    positive: np.ndarray,
    bag_size: int,
    label_density: Literal["uniform"] | float,
    seed: int | Sequence[int],
) -> Bags:
    """Draw bags of `bag_size` instances, each instance in at most one bag.

    The number of positive instances in a positive bag is uniform on 1..`bag_size` for the label
    density "uniform" (Shah et al., "Importance of Negative Sampling in Weak Label Learning",
    section 5.1), or `label_density` x `bag_size`, rounded half up, for a number in (0, 1].
    Positive bags are made until every positive instance is used: the last one takes those that are
    left, even if a larger number was drawn for it. Negative instances, in random order, fill the
    positive bags; the rest of them make the negative bags, and the fewer than `bag_size` that then
    remain are left out. The order of the bags, and of the instances in a bag, is random, so that
    neither tells the label. Bags are numbered 0..B-1.

    positive : (N,) bool, which instances are positive
    seed : one or several integers >= 0; the same give the same bags

    Raises UserError when there is no positive instance, when the density rounds to no positive
    instance in a bag, or when the negatives do not fill the positive bags and one negative bag.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    positives = rng.permutation(np.flatnonzero(positive))
    negatives = rng.permutation(np.flatnonzero(~positive))
    if len(positives) == 0:
        raise UserError("there is no positive instance to make a bag of.")

    if label_density == "uniform":
        counts = rng.integers(1, bag_size, size=len(positives), endpoint=True)
    else:
        count = math.floor(label_density * bag_size + 0.5)
        if count == 0:
            raise UserError(
                f"label_density {label_density} of bag_size {bag_size} is less than half an "
                "instance: raise one of them."
            )
        counts = np.full(len(positives), count)
    used = np.cumsum(counts)
    n_positive_bags = int(np.searchsorted(used, len(positives))) + 1
    counts = counts[:n_positive_bags]
    counts[-1] -= used[n_positive_bags - 1] - len(positives)

    n_fill = n_positive_bags * bag_size - len(positives)
    n_negative_bags = (len(negatives) - n_fill) // bag_size
    if n_negative_bags < 1:
        raise UserError(
            f"{len(negatives)} negative instances do not fill {n_positive_bags} positive bags and "
            f"one negative bag: lower bag_size ({bag_size}) or raise label_density "
            f"({label_density})."
        )
    counts = np.concatenate([counts, np.zeros(n_negative_bags, dtype=counts.dtype)])
    is_positive = np.arange(bag_size) < counts[:, None]
    instances = np.empty(is_positive.shape, dtype=np.int64)
    instances[is_positive] = positives
    instances[~is_positive] = negatives[: n_fill + n_negative_bags * bag_size]

    order = rng.permutation(len(counts))
    counts = counts[order]
    return Bags(
        bag=np.arange(len(counts), dtype=np.int64),
        label=(counts > 0).astype(np.int8),
        density=counts / bag_size,
        instances=rng.permuted(instances[order], axis=1),
    )
