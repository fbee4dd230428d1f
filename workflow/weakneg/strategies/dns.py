"""The hardest of a few random candidates, for each bag: dynamic negative sampling."""

from typing import Annotated

import torch

from weakneg.strategies.hardest import losses
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "DNS"
LOOK = {"colour": "#A6761D", "marker": "<", "dashes": [3, 1, 1, 1]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    candidates: Annotated[int, (1, None)] = 4,
) -> Selection:
    """The bag with the highest logit of a few random ones, k times; scores of `hardest`.

    No bag is a candidate twice, so that all choices are distinct. Where the pool has too few bags
    for k times as many candidates, its bags are shared out as evenly as possible. One candidate is
    `random`; with more of them, bags are harder. Chosen bags are in order of hardness.

    Parameters
    ----------
    candidates : int
        Number of candidates per chosen bag.

    References
    ----------
    Zhang et al., "Optimizing Top-N Collaborative Filtering via Dynamic Negative Item Sampling"
    (2013). Shi et al., "On the Theories Behind Hard Negative Sampling for Recommendation" (2023,
    arXiv:2302.03472): training then optimises a partial ROC-AUC, that of low false positive rates,
    the lower the more candidates. Candidates that are drawn without replacement, for all bags of an
    epoch together, are this project's reading. All of the pool is scored nevertheless: to score
    candidates only, use `hardest` with `sampling: candidate_fraction`.
    """
    k = pool.clamp(k)
    drawn = torch.randperm(len(pool), generator=generator)[: candidates * k]
    group = torch.full((len(pool),), k)  # those that are not drawn: one group more
    group[drawn] = torch.arange(len(drawn)) % max(k, 1)
    hardest_first = torch.argsort(pool.logits.double(), descending=True, stable=True).cpu()
    rank = torch.arange(len(pool))
    best = torch.full((k + 1,), len(pool)).scatter_reduce_(0, group[hardest_first], rank, "amin")
    rows = hardest_first[best[:k].sort().values]
    return Selection(pool.ids[rows], losses(pool.logits)[rows])
