"""Bags that together cover the pool: greedy k-centre."""

import torch
from torch import Tensor

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "Core-set"
LOOK = {"colour": "#228833", "marker": "s", "dashes": [4, 1.5]}

_ROWS = 1024  # bags at a time, so that memory stays small


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The bag farthest from all centres, which becomes a centre, k times; score: its distance.

    The first centres are the positive bags, and distances are Euclidean ones between embeddings.
    Takes a pass over the embeddings per positive and per chosen bag, but no memory for pairs.

    References
    ----------
    Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach"
    (2018, arXiv:1708.00489), algorithm 1. The labelled set there is what the model trains on; the
    positive bags, on which every epoch trains, in its place are this project's reading.
    """
    points, positives = pool.embeddings.double(), pool.positives.embeddings.double()
    k = pool.clamp(k)
    nearest = torch.cat([distances(block, positives) for block in torch.split(points, _ROWS)])
    rows = torch.empty(k, dtype=torch.int64)
    scores = torch.empty(k, dtype=torch.float64)
    for position in range(k):
        farthest = int(nearest.argmax())  # the first, which has the lowest id, in a tie
        rows[position], scores[position] = farthest, nearest[farthest]
        nearest = torch.minimum(nearest, distances(points, points[farthest][None]))
        nearest[farthest] = -1  # never again
    return Selection(pool.ids[rows], scores)


def distances(points: Tensor, centres: Tensor) -> Tensor:
    """Distances (n,) of points (n, D) to the nearest of centres (c, D)."""
    # Not by a matrix product, which may round equal rows differently and thereby break ties.
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
