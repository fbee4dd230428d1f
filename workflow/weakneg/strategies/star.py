"""Hard bags and random ones: the mixture of STAR."""

from typing import Annotated

import torch

from weakneg.strategies.hardest import losses
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "STAR"
LOOK = {"colour": "#FE6100", "marker": "*", "dashes": [4, 1.5]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    share: Annotated[float, (0, 1)] = 0.5,
) -> Selection:
    """The bags with the highest logits, and a uniform draw from the others; scores of `hardest`.

    Parameters
    ----------
    share : float
        Share of the hardest bags among the k, rounded to a whole number (a half to the even one).

    References
    ----------
    Zhan et al., "Optimizing Dense Retrieval Model Training with Hard Negatives" (2021,
    arXiv:2104.08051), "STAR": random negatives stabilise the training on hard ones. There, both
    kinds have a loss of their own; here the share says how many bags there are of each. The hard
    negatives of STAR are those of an earlier model; how old the model may be is a question of the
    study here, and its answer is `sampling: resample_every`.
    """
    hardest_first = torch.argsort(pool.logits.double(), descending=True, stable=True).cpu()
    k = pool.clamp(k)
    n = round(share * k)
    others = hardest_first[n:]
    others = others[torch.randperm(len(others), generator=generator)[: k - n]]
    rows = torch.cat([hardest_first[:n], others])
    return Selection(pool.ids[rows], losses(pool.logits)[rows])
