"""Bags whose predicted probability resembles that of the positive bags."""

import math

import torch
from torch.nn.functional import logsigmoid

from weakneg.strategies.pool import Pool, Selection, top_k

DISPLAY_NAME = "KL (probability)"
LOOK = {"colour": "#E69F00", "marker": "p", "dashes": [3, 1, 1, 1, 1, 1]}
RANKS = True


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags with the smallest KL(Bernoulli(p) || Bernoulli(q)) in nats; score: -KL.

    KL = p log(p / q) + (1 - p) log((1 - p) / (1 - q)), where p = sigmoid(logit) is the bag's
    probability and q is the mean of p over the positive bags.

    References
    ----------
    Shah et al., "Importance of Negative Sampling in Weak Label Learning", section 5.1.4, "KL-prob".
    It says only that the divergence is computed on the output probabilities. The two distributions,
    the direction and the end of the ranking are this project's reading: negatives that look like
    positives.
    """
    logits, positives = pool.logits.double(), pool.positives.logits.double()
    # Logarithms throughout: p and q may be closer to 0 or 1 than a float can represent.
    log_p, log_not_p = logsigmoid(logits), logsigmoid(-logits)
    log_q = logsigmoid(positives).logsumexp(0) - math.log(len(positives))
    log_not_q = logsigmoid(-positives).logsumexp(0) - math.log(len(positives))
    divergence = log_p.exp() * (log_p - log_q) + log_not_p.exp() * (log_not_p - log_not_q)
    return top_k(pool, -divergence, k)
