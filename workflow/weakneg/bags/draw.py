"""Bags, and drawing them from instances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weakneg.errors import UserError

PADDING = -1
UNKNOWN = -1
"""The label of a bag of which nobody knows whether it is positive or negative."""


@dataclass(frozen=True)
class Bags:
    """One draw of B bags of at most M instances.

    Attributes
    ----------
    bag : ndarray, (B,) int64
        Distinct numbers of the bags.
    label : ndarray, (B,) or (B, C) int8
        1 for positive bags, 0 for negative ones, -1 (`UNKNOWN`) where that is not known; where
        there are C classes, for each.
    density : ndarray, (B,) float64
        Share of positive instances; NaN where it is not known.
    instances : ndarray, (B, M) int64
        Row numbers of instances in the store, padded with -1.
    group : ndarray, (B,) int64, optional
        Number of the group of each bag; None where bags have no groups.
    negatives_observed : bool
        Whether bags labelled 0 were verified to be negative, since all others are unknown. False: a
        bag is negative because it is not listed as positive.
    truth : ndarray, (B, C) int8, optional
        The labels before some were made unknown (see `weakneg.bags.hidden.observe`).
    """

    bag: np.ndarray
    label: np.ndarray
    density: np.ndarray
    instances: np.ndarray
    group: np.ndarray | None = None
    negatives_observed: bool = False
    truth: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """Mask (B, M) bool: True where `instances` holds a row, False where it is padding."""
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
    """Draw bags of equal size, each instance in at most one bag.

    Positive bags are made until every positive instance is used; the last bag takes those that are
    left, even if a larger number was drawn for it. Negative instances, in random order, fill up the
    positive bags. The rest of them make the negative bags, and a remainder of fewer than `bag_size`
    is left out. The order of the bags, and of the instances within a bag, is random, so that
    neither reveals the label. Bags are numbered 0..B-1.

    Parameters
    ----------
    positive : ndarray, (N,) bool
        Which instances are positive.
    bag_size : int
        Instances per bag.
    label_density : "uniform" or float
        Positive instances in a positive bag: with "uniform" their number is uniform on
        1..`bag_size`; with a number in (0, 1] it is `label_density` x `bag_size`, rounded half up.
    seed : int or sequence of int
        One or several integers >= 0; equal seeds give equal bags.

    Returns
    -------
    Bags
        The bags.

    Raises
    ------
    UserError
        When there are no positive instances, when the density rounds to zero positive instances per
        bag, or when there are too few negatives for the positive bags and one negative bag.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", section 5.1, for the
    density "uniform".
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    positives = rng.permutation(np.flatnonzero(positive))
    negatives = rng.permutation(np.flatnonzero(~positive))
    if len(positives) == 0:
        raise UserError("there are no positive instances to draw bags from: leave the class out.")

    if label_density == "uniform":
        counts = rng.integers(1, bag_size, size=len(positives), endpoint=True)
    else:
        count = math.floor(label_density * bag_size + 0.5)
        if count == 0:
            raise UserError(
                f"label_density {label_density} of bag_size {bag_size} is less than half an "
                "instance: increase one of them."
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
            f"{len(negatives)} negative instances are too few for {n_positive_bags} positive bags "
            f"and one negative bag: decrease bag_size ({bag_size}) or increase label_density "
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


def draw_of_all(labels: np.ndarray, bag_size: int, seed: int | Sequence[int]) -> Bags:
    """Draw bags of equal size for many classes: instances in random order, without regard to these.

    A bag is positive for the classes of its instances. A remainder of fewer than `bag_size`
    instances is left out.

    Parameters
    ----------
    labels : ndarray, (N, C)
        1 where an instance belongs to a class.
    bag_size : int
        Instances per bag.
    seed : int or sequence of int
        One or several integers >= 0; equal seeds give equal bags.

    Returns
    -------
    Bags
        The bags, numbered 0..B-1.

    Raises
    ------
    UserError
        When there are fewer instances than make two bags.
    """
    n_bags = len(labels) // bag_size
    if n_bags < 2:
        raise UserError(f"{len(labels)} instances do not make two bags: decrease bag_size.")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    instances = rng.permutation(len(labels))[: n_bags * bag_size].reshape(n_bags, bag_size)
    return Bags(
        bag=np.arange(n_bags, dtype=np.int64),
        label=(labels[instances] == 1).any(1).astype(np.int8),
        density=np.full(n_bags, np.nan),
        instances=instances,
    )
