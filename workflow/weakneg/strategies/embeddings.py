"""Scores computed from embeddings, block by block."""

from collections.abc import Callable

import torch
from torch import Tensor

_ROWS = 1024  # bags at a time, so that memory stays small


def in_blocks(rows: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Score embeddings in float64, so that equal ones have equal scores.

    A matrix product may round equal rows differently, which would break ties.

    Parameters
    ----------
    rows : Tensor, (N, D) float
        The embeddings.
    score : callable
        `score(block)` gives the (n,) scores of (n, D) embeddings in float64.

    Returns
    -------
    Tensor, (N,) float64
        The scores.
    """
    # Equal rows have equal sums, and sums of rows that differ are rarely equal.
    weights = torch.arange(1, rows.shape[1] + 1, dtype=torch.float64, device=rows.device).sqrt()
    # Small results kept between large blocks would keep the memory of all blocks from being reused.
    scores = rows.new_empty(len(rows), dtype=torch.float64)
    sums = torch.empty_like(scores)
    for first_row, block in zip(range(0, len(rows), _ROWS), torch.split(rows, _ROWS), strict=False):
        x, here = block.double(), slice(first_row, first_row + len(block))
        scores[here], sums[here] = score(x), (x * weights).sum(1)
    _, group = torch.unique(sums, return_inverse=True)
    position = torch.arange(len(rows), device=rows.device)
    first = torch.full_like(position, len(rows)).scatter_reduce_(0, group, position, "amin")[group]
    repeated = (first < position).nonzero()[:, 0]
    for again in torch.split(repeated, _ROWS):
        equal = again[(rows[again] == rows[first[again]]).all(1)]
        scores[equal] = scores[first[equal]]
    return scores
