"""One class of a classifier of many, as a classifier of its own."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from weakneg.config.sections import ModelSettings
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.classes import (
    ClassesHead,
    PooledClassesHead,
    PslaClassesHead,
    SharedAttentionHead,
)


def one_class(classifier: BagClassifier, settings: ModelSettings, number: int) -> BagClassifier:
    """The classifier of one class, which gives the logits that the one of many gives for it.

    Parameters
    ----------
    classifier : BagClassifier
        A classifier of C classes, or one without classes, which is returned as it is.
    settings : ModelSettings
        What it was built with.
    number : int
        Which class, from 0 to C - 1.

    Returns
    -------
    BagClassifier
        With the encoder of `classifier`, not a copy.
    """
    if classifier.n_classes is None:
        return classifier
    head = classifier.head
    one = BagClassifier(
        classifier.encoder, settings.pooling, settings.attention_heads, settings.precision
    )
    one.head.load_state_dict(_state(head, number))
    return one.to(next(head.parameters()).device).eval()


def _state(head: nn.Module, number: int) -> Mapping[str, Tensor]:
    """Weights of a class, as those of a head for one class."""
    if not isinstance(head, ClassesHead):  # it is one
        return head.state_dict()
    if isinstance(head, SharedAttentionHead):
        attention, n_heads = head.attention, head.attention.out_features
        values = head.weight[number].unflatten(0, (n_heads, -1))
        return {
            "weight": torch.cat([attention.weight, values]),
            "bias": torch.cat([attention.bias, head.bias[number].expand(n_heads)]),
        }
    assert isinstance(head, PooledClassesHead | PslaClassesHead)
    layer = head.layer
    if isinstance(head, PooledClassesHead):
        rows = [layer.out_features // 2 + number, number]  # of the rest, of the class
        return {"weight": layer.weight[rows], "bias": layer.bias[rows]}
    width = 2 * len(head.head_weight)
    of_class = slice(number * width, (number + 1) * width)
    return {
        "weight": layer.weight[of_class],
        "bias": layer.bias[of_class],
        "head_weight": head.head_weight,
    }
