"""All negative bags, which the strategies are compared with."""

import torch

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "Full set"
LOOK = {"colour": "#000000", "marker": "D"}
IGNORES_BUDGET = True


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The whole pool in ascending order of id, whatever the budget k; without scores.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", table 1, "Full Set (No
    filtering)".
    """
    return Selection(pool.ids.clone(), torch.full((len(pool),), torch.nan, dtype=torch.float64))
