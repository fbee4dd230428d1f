"""Self-adjusting dice loss: close to F1, with less weight for what the model is sure about."""

from typing import Annotated

from weakneg.losses.batch import Batch, Losses, with_slopes

DISPLAY_NAME = "Dice"


def loss(
    batch: Batch,
    *,
    alpha: Annotated[float, (0, None)] = 1.0,
    smoothing: Annotated[float, (0, None)] = 1.0,
) -> Losses:
    """1 - (2 a y + smoothing) / (a + y + smoothing), where a = (1 - p)^alpha p.

    (1 - p)^alpha is a weight: no gradient flows through it. Otherwise a would fall again where p
    is above 1/2 (with alpha = 1), and the loss would pull sure positives down to 1/2 and push
    wrong negatives on to 1.

    Parameters
    ----------
    batch : Batch
        The batch.
    alpha : float
        How fast the weight falls; with 0, this is the dice loss.
    smoothing : float
        The paper's gamma; without it, negatives would have no gradient.

    References
    ----------
    Li et al., "Dice Loss for Data-imbalanced NLP Tasks" (2020), arXiv:1911.02855: DSC
    with a weight.
    """
    p, y = batch.logits.detach().sigmoid(), batch.labels
    a = p * (1 - p).pow(alpha)
    below = (a + y + smoothing).clamp(min=1e-18)  # whose square is not 0
    values = 1 - (2 * a * y + smoothing) / below
    slopes = (smoothing - 2 * y * (y + smoothing)) / below.square() * a * (1 - p)
    return Losses(with_slopes(values, slopes, batch.logits))
