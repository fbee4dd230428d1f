"""Hard negatives count more, without the share that false negatives have in them: HCL."""

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from weakneg.losses.batch import Batch, Losses

DISPLAY_NAME = "HCL"
DOUBTS = True


def loss(
    batch: Batch,
    *,
    beta: Annotated[float, (0, None)] = 1.0,
    prior: Annotated[float, (0, 0.9)] = 0.0,
) -> Losses:
    """Cross-entropy, with weights ~ exp(beta * logit) for the negatives of the batch, per class.

    The weights of n negatives add up to n, and no gradient flows through them. Some unobserved
    negatives are positive. Let l be the loss with the label 0, E_u[l] its mean over the unobserved,
    with the weights above, and E_p[l] its mean over the positives, with weights ~ exp(beta *
    logit). Then E_u[l] is replaced by

        max(0, E_u[l] - prior E_p[l]) / (1 - prior)

    which has no gradient where it is 0. What is subtracted is shared out among the unobserved, so
    that a weight of positive bags does not touch it. In a batch without positives, E_u[l] stays.

    The papers take these means of exp(similarity to an anchor), inside the logarithm of a
    contrastive loss. With one class there is no anchor, and the logit takes the place of the
    similarity; the cross-entropy has no logarithm of a sum, and the means are those of its terms.
    For beta = 0 this is the negative risk of nnPU, over 1 - prior, and set to 0 where it is
    negative instead of reversed. For beta > 0, the share of positives among hard bags is above the
    prior; like HCL, this uses the prior nevertheless.

    Parameters
    ----------
    batch : Batch
        The batch.
    beta : float
        How much hard negatives count more, the concentration; 0: no more than others. The default
        is that of the authors' code.
    prior : float
        Share of positives among the unobserved, tau+. 0 trusts the labels.

    References
    ----------
    Robinson et al., "Contrastive Learning with Hard Negative Samples" (2021), arXiv:2010.04592.
    Chuang et al., "Debiased Contrastive Learning" (2020), arXiv:2007.00224: beta = 0.
    """
    negative, positive = batch.labels == 0, batch.labels == 1
    unobserved = negative & ~batch.observed
    hardness = beta * batch.logits.detach()

    def weights(entries: Tensor) -> Tensor:
        return hardness.masked_fill(~entries, -torch.inf).softmax(0).nan_to_num()

    hard = weights(negative)
    as_negative = softplus(batch.logits)
    values = binary_cross_entropy_with_logits(batch.logits, batch.labels, reduction="none")
    values = torch.where(negative, negative.sum(0) * hard * values, values)
    if not prior:
        return Losses(values)

    share = prior * positive.any(0)
    mass = (hard * unobserved).sum(0)
    excess = share * mass * (weights(positive) * as_negative).sum(0)
    keeps = (hard * unobserved * as_negative).sum(0) > excess
    per_entry = negative.sum(0) * excess / unobserved.sum(0).clamp(min=1)
    corrected = (values - per_entry) * keeps / (1 - share)
    return Losses(torch.where(unobserved, corrected, values))
