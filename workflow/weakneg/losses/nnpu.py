"""Non-negative learning from positives and unlabelled bags, some of which are positive."""

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from weakneg.losses.batch import Batch, Losses, State, with_slopes

DISPLAY_NAME = "nnPU"
DOUBTS = True


def initial_state(labels: Tensor, observed: Tensor, generator: torch.Generator) -> State:
    """Nothing known about the share of positives yet.

    Parameters
    ----------
    labels, observed, generator
        As for `weakneg.losses.initial_state`.

    Returns
    -------
    State
        "logit", the shape of the labels: that of an entry in this epoch, or NaN. "prior", () or
        (C,): the estimated share of positives among the unobserved.
    """
    return {
        "logit": torch.full_like(labels, math.nan),
        "prior": labels.new_full(labels.shape[1:], math.nan),
    }


def before_epoch(state: State, labels: Tensor, observed: Tensor) -> State:
    """Estimate the share of positives among the unobserved bags of the last epoch.

    Above the median of the positives is half of them, and so about half of the positives among the
    unobserved: the estimate is twice the unobserved above it. Negatives above it count, too, so
    that it is far too high until the model separates well: if logits are normal and 5% of the
    unobserved are positive, .35 at a ROC-AUC of .76 and .09 at .92. It becomes too low where the
    model has learned the observed positives by heart, and those among the unobserved have lower
    logits; the source sets bags aside for the estimate. Unlike Elkan and Noto's estimate, this
    depends on the order of the logits only, not on that they are right as probabilities. One bag
    is added to both counts, as a share of 0 would make positives worthless.

    Parameters
    ----------
    state, labels, observed
        As for `weakneg.losses.before_epoch`.

    Returns
    -------
    State
        With the new "prior", and no "logit".

    References
    ----------
    Garg et al., "Mixture Proportion Estimation and PU Learning: A Modern Approach" (2021),
    arXiv:2111.00980: best bin estimation, with the median instead of the best threshold.
    """
    logit = state["logit"]
    median = logit.where(observed & (labels == 1), math.nan).nanmedian(0).values
    above = ((logit >= median) & ~observed).sum(0)
    unobserved = (~logit.isnan() & ~observed).sum(0)
    prior = (2 * (above + 1) / (unobserved + 1)).clamp(max=1)
    return {"logit": torch.full_like(logit, math.nan), "prior": prior}


def loss(
    batch: Batch,
    *,
    prior: Annotated[float, (0, 1)] = 0.0,
    beta: Annotated[float, (0, None)] = 0.0,
    gamma: Annotated[float, (0, None)] = 1.0,
) -> Losses:
    """The risk pi R+ + max(0, R- of the unobserved - pi R- of the positives), per class.

    R+ and R- are means of the cross-entropy with the label 1 and 0. (The paper's sigmoid loss has
    no gradient left for rare positives once the model calls everything negative.) Where the
    second term r, which stands for the risk of negatives, is below -beta, a step goes up instead,
    away from overfitting: the values are then those of -gamma r. If a batch has no unobserved bags,
    nothing is known of r, and it is left out. Observed negatives count as in the cross-entropy,
    which is also the loss of the first epoch if the prior is estimated. Leave
    `training: positive_weight` at 1: the prior is the weight.

    Parameters
    ----------
    batch : Batch
        The batch.
    prior : float
        Share of positives among the unobserved, pi; 0 to estimate it: see `before_epoch`.
    beta : float
        How negative r may be.
    gamma : float
        Size of a step up.

    References
    ----------
    Kiryo et al., "Positive-Unlabeled Learning with Non-Negative Risk Estimator" (2017),
    arXiv:1703.00593: algorithm 1.
    """
    state = {"logit": batch.logits.detach()}
    if not prior and batch.epoch == 1:
        values = binary_cross_entropy_with_logits(batch.logits, batch.labels, reduction="none")
        return Losses(values, state=state)
    share = prior or batch.state["prior"]
    unobserved, positive = ~batch.observed, batch.observed * batch.labels
    bags = len(batch.logits)
    per_unobserved = bags / unobserved.sum(0).clamp(min=1)
    per_positive = share * bags / positive.sum(0).clamp(min=1)

    z = batch.logits.detach()
    p, as_negative = z.sigmoid(), softplus(z)
    # Each class goes up or down.
    down = per_unobserved * unobserved - per_positive * positive * unobserved.any(0)
    up = (down * as_negative).mean(0) < -beta
    negative = down * torch.where(up, -gamma, 1.0) + (batch.observed & (batch.labels == 0))
    positive = per_positive * positive * ~up
    values = negative * as_negative + positive * (as_negative - z)
    slopes = negative * p + positive * (p - 1)
    return Losses(with_slopes(values, slopes, batch.logits), state=state)
