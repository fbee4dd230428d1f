"""Hiding positive bags: labels that are missing on purpose, so that the truth is known."""

import zlib

import numpy as np


def hidden_bags(label: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draw the positive bags that are labelled negative.

    The bags of a smaller share are among those of a larger one with the same seed, so that shares
    are compared on the same bags.

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
    """
    # The second word separates this stream from those that draw bags or divide them.
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(b"hidden"))))
    order = rng.permutation(np.flatnonzero(label == 1))
    hidden: np.ndarray = np.sort(order[: round(share * len(order))])
    return hidden
