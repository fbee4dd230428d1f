"""All negative bags: the upper bound to which the strategies are compared."""

import torch

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "Full set"
LOOK = {"colour": "#000000", "marker": "D"}
IGNORES_BUDGET = True


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The whole pool in ascending order of id, whatever the budget k; without scores.

    Source: "Full Set (No filtering)" in table 1 of Shah et al., "Importance of Negative Sampling in
    Weak Label Learning".
    """
    return Selection(pool.ids.clone(), torch.full((len(pool),), torch.nan, dtype=torch.float64))
