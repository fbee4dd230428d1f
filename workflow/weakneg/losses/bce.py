"""Binary cross-entropy: the loss of the paper."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def loss(logits: Tensor, labels: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Mean binary cross-entropy of bags.

    Parameters
    ----------
    logits : Tensor
        (B,) float32. The probability that a bag is positive is the sigmoid of its logit.
    labels : Tensor
        (B,) float32: 0 or 1, or a number between them where bags are mixed.
    positive_weight : float
        Weight of the term of positive bags.

    Returns
    -------
    Tensor
        The mean over the bags, a scalar.
    """
    weight = None if positive_weight == 1 else logits.new_tensor(positive_weight)
    return binary_cross_entropy_with_logits(logits, labels, pos_weight=weight)
