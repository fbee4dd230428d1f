"""Another strategy, without the bags that are most likely to be positive."""

from typing import Annotated

import torch

from weakneg.strategies import Select
from weakneg.strategies.pool import Pool, Selection

DISPLAY_NAME = "{then}, trimmed"
LOOK = {"colour": "#661100", "marker": "v", "dashes": [3, 1]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    share: Annotated[float, (0, 1)] = 0.02,
    over_epochs: Annotated[int, (0, None)] = 0,
    then: Select,
) -> Selection:
    """The choice of `then` from the pool without the bags with the highest logits; its scores.

    Where labels are missing, the negative bags with the highest loss are the most likely positives.
    The loss log(1 + exp(logit)) of a bag with the label 0 increases strictly with the logit, so
    bags are left out by logit; of equal logits, those with higher ids. Of N bags, m = share * N are
    left out, rounded to a whole number (a half to the even one), but never so many that fewer than
    k remain. A strategy that ignores the budget therefore gets N - m bags, too.

    Parameters
    ----------
    share : float
        Share of the pool to leave out, from 0 to 1.
    over_epochs : int
        0: the same share in every epoch. Otherwise the share grows linearly from 0 in the first
        epoch, over so many epochs: in epoch t it is min(1, (t - 1) / over_epochs) * share. Epochs
        of warm-up count.
    then : Select
        The strategy that chooses from the rest.

    References
    ----------
    Kim et al., "Large Loss Matters in Weakly Supervised Multi-Label Classification" (2022). "LL-R"
    there leaves the labels with the largest losses of each batch out of the loss, none in the first
    epoch and a share that grows by the same step with each further one. Leaving bags out of the
    pool before a strategy chooses from it is this project's reading.

    Fonseca et al., "Addressing Missing Labels in Large-Scale Sound Event Recognition Using a
    Teacher-Student Framework With Loss Masking" (2020, arXiv:2005.00878): the negative labels that
    a teacher, trained before, scores highest are left out of the loss of a new model. With
    `over_epochs` 0 that is this strategy, except that the model itself is its teacher.
    """
    grown = min(1, (pool.epoch - 1) / over_epochs) if over_epochs else 1
    n = min(round(grown * share * len(pool)), len(pool) - pool.clamp(k))
    pool.score_once()
    # Stable: of equal logits, the lower ids come first and stay.
    easiest_first = torch.argsort(pool.logits, stable=True)
    return then(pool.part(easiest_first[: len(pool) - n]), k, generator)
