"""Bags chosen at random: the baseline."""

import torch

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "Random"
LOOK = {"colour": "#7A7A7A", "marker": "o", "dashes": [4, 1.5]}


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """Uniform draw of k bags without replacement; without scores.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", section 4, item 1.
    """
    chosen = torch.randperm(len(pool), generator=generator)[: pool.clamp(k)]
    return Selection(pool.ids[chosen], torch.full((len(chosen),), torch.nan, dtype=torch.float64))
