"""Hiding labels: some are missing on purpose, so that the truth is known."""

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from weakneg.bags.draw import UNKNOWN, Bags
from weakneg.errors import UserError

if TYPE_CHECKING:
    from weakneg.config.strategy import Observed

_ROWS = 4096  # bags at a time, so that memory stays small


def hidden_bags(label: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draw the positive bags that are labelled negative.

    The bags of a smaller share are among those of a larger one with the same seed. Which bags are
    for validation depends on the labels, so that it differs between shares; validation takes hidden
    bags for negative, too, as it would if their labels were missing.

    Parameters
    ----------
    label : ndarray, (B,) int
        1 for positive bags.
    share : float
        Share of the positive bags to hide, in [0, 1), rounded to whole bags.
    seed : int
        At least 0.

    Returns
    -------
    ndarray, int64
        Row numbers of the hidden bags, sorted.

    Raises
    ------
    UserError
        When fewer than two positive bags would be left.
    """
    # The second word separates this stream from those that draw bags or divide them.
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(b"hidden"))))
    order = rng.permutation(np.flatnonzero(label == 1))
    n_hidden = round(share * len(order))
    if n_hidden and len(order) - n_hidden < 2:
        raise UserError(
            f"hidden_positives: {share:g} hides {n_hidden} of the {len(order)} positive bags, but "
            "training and validation need one each: hide fewer, or leave the class out."
        )
    hidden: np.ndarray = np.sort(order[:n_hidden])
    return hidden


def without_labels(bags: Bags, rows: np.ndarray) -> Bags:
    """Take their labels from some of the bags, as if they had never been listed.

    Parameters
    ----------
    bags : Bags
        The bags.
    rows : ndarray, int
        Row numbers of the bags to hide.

    Returns
    -------
    Bags
        In which these are negative, or unknown if somebody made sure of the negatives.
    """
    label = bags.label.copy()
    label[rows] = UNKNOWN if bags.negatives_observed else 0
    return replace(bags, label=label)


def observe(bags: Bags, observed: "Observed", seed: int) -> Bags:
    """Make labels of many classes unknown, as if nobody had looked.

    Parameters
    ----------
    bags : Bags
        The bags, with labels (B, C).
    observed : Observed
        Which labels stay known: so many positive ones of each bag, or a share of all. What is kept
        of fewer is among what is kept of more, with the same seed.
    seed : int
        At least 0.

    Returns
    -------
    Bags
        In which the other labels are unknown, with the labels of `bags` as their truth.
    """
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(b"observed"))))
    label = bags.label.astype(np.int8)
    for first in range(0, len(label), _ROWS):
        rows = label[first : first + _ROWS]
        order = rng.random(rows.shape, dtype=np.float32)
        kept = rows != UNKNOWN
        if observed.positives is not None:
            order[rows != 1] = np.inf
            drawn = order.argsort(1)[:, : observed.positives]
            kept = np.zeros_like(kept)
            np.put_along_axis(kept, drawn, np.take_along_axis(rows, drawn, 1) == 1, 1)
        elif observed.share is not None:
            kept &= order < observed.share
        rows[~kept] = UNKNOWN
    return replace(bags, label=label, negatives_observed=True, truth=bags.label)
