"""Bags drawn in proportion to the length of their gradients, and weighted against it."""

from typing import Annotated

import torch

from weakneg.strategies.pool import Pool, Selection
from weakneg.strategies.sampling import weighted_draw

DISPLAY_NAME = "Importance sampling"
LOOK = {"colour": "#332288", "marker": ">", "dashes": [5, 1.5, 1, 1.5]}


def select(
    pool: Pool,
    k: int,
    generator: torch.Generator,
    *,
    uniform: Annotated[float, (0, 1)] = 0.1,
) -> Selection:
    """A random draw with p_i ~ |g_i|, and weights 1 / (N p_i); score: |g_i|.

    g_i is the gradient of the last layer at the label 0. Where the model averages the logits of
    instances, |g_i| = s |h|, with the embedding h and s = sigmoid(logit). Of all draws of single
    bags, the one in proportion to the length of a gradient has the least variance of its estimated
    mean. The paper bounds the gradient of all layers by a constant times that with respect to the
    pre-activations of the last layer, here s; |g_i| is exact for the last layer.

    The paper draws with replacement. Here k distinct bags are drawn, with inclusion probabilities
    k p_i: the weights are the same, and the estimate is unbiased, too (see
    `weakneg.strategies.sampling`). A bag with k p_i >= 1 is certain and has the weight k / N; the
    rest of k is drawn from the rest of the bags.

    A correction of logits by -log(k p_i), as in sampled softmax, would be wrong here: there it
    stands for a weight 1 / (k p_i) of exp(logit) inside the logarithm of a sum. The loss of a
    binary classifier is itself a sum over bags, so that the weight belongs to its terms.

    Parameters
    ----------
    uniform : float
        Share of uniform draws: p_i = (1 - uniform) |g_i| / (sum of |g_j|) + uniform / N, so that no
        weight is above 1 / uniform. The paper has none, but draws for every step; here weights stay
        for an epoch or longer, during which the gradient of a bag with a large weight may grow.
        With 0, bags without a gradient are only drawn where there are too few others; with 1, all
        weights are 1.

    References
    ----------
    Katharopoulos and Fleuret, "Not All Samples Are Created Equal: Deep Learning with Importance
    Sampling" (2018), arXiv:1803.00942, without the test whether it pays.

    Hesterberg, "Weighted Average Importance Sampling and Defensive Mixture Distributions" (1995):
    the share of uniform draws.

    Rawat et al., "Sampled Softmax with Random Fourier Features" (2019), arXiv:1907.10747, and
    "Disentangling Sampling and Labeling Bias for Learning in Large-Output Spaces" (2021),
    arXiv:2105.05736: the correction of logits.
    """
    norms = pool.gradient_norms("known")
    total, equal = norms.sum(), torch.ones_like(norms) / max(len(norms), 1)
    shares = norms / total if total > 0 else equal
    sizes = (1 - uniform) * shares + uniform * equal
    return weighted_draw(pool, sizes, k, generator, scores=norms)
