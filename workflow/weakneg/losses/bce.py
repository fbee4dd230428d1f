"""Binary cross-entropy: the loss of the paper."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy of bags.

    Parameters
    ----------
    logits : Tensor
        (B,) float32. The probability that a bag is positive is the sigmoid of its logit.
    labels : Tensor
        (B,) float32: 0 or 1, or a number between them where bags are mixed.

    Returns
    -------
    Tensor
        The mean over the bags, a scalar.
    """
    return binary_cross_entropy_with_logits(logits, labels)
