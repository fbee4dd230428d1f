"""Hard bags, but not harder than the positive ones: semi-hard negatives."""

from typing import Annotated

import torch

from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "Semi-hard"
LOOK = {"colour": "#88CCEE", "marker": "h", "dashes": [7, 1, 1, 1]}
RANKS = True


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    quantile: Annotated[float, (0, 1)] = 0.5,
) -> Selection:
    """The k bags with the highest logit below a quantile of the positives' logits.

    With the bound b, the score of a bag below it is logit - b. Bags at or above the bound are
    chosen only when there are none left below it, those closest to it first; their score is
    min - logit, where min is the lowest logit of the pool. So every bag below the bound ranks
    before all others. Bags are ranked by the logits, which rounding of the scores cannot swap.

    Parameters
    ----------
    quantile : float
        Which quantile of the positives' logits is the bound, from 0 (the lowest) to 1 (the
        highest), with linear interpolation between neighbours. The default is the median.

    References
    ----------
    Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering" (2015,
    arXiv:1503.03832), section 3.2: negatives that are hard, but still farther from the anchor than
    its positive is. There, each positive sets a bound, a distance to the anchor. One bound for all
    bags, taken from the logits of the positives, is this project's reading.
    """
    logits, positives = pool.logits.double(), pool.positives.logits.double()
    if not len(pool):  # which has no lowest logit
        return Selection(pool.ids, logits.cpu())
    bound = torch.quantile(positives, quantile)
    below = logits < bound
    order = torch.argsort(torch.where(below, -logits, logits), stable=True)
    # Those below first; both sorts are stable, so that the lower id comes first in a tie.
    order = order[torch.argsort((~below[order]).int(), stable=True)][: pool.clamp(k)]
    scores = torch.where(below, logits - bound, logits.min() - logits)
    return Selection(pool.ids[order.cpu()], scores[order].cpu())
