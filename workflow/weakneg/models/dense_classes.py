"""A bag classifier for many classes whose encoder is dense, with the gradient written out.

A step is mostly products of matrices. Here they are oneDNN's: on a processor of AMD they took two
thirds of the time of MKL's, with which PyTorch computes linear layers.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.classes import SharedAttentionHead
from weakneg.models.dense import is_dense


def possible(model: BagClassifier, device: torch.device) -> bool:
    """Whether `logits` can compute those of a model.

    It can for a dense encoder (see `weakneg.models.dense.is_dense`), on a CPU and in float32, and
    for the pooling `attention` of more than one class.
    """
    return (
        isinstance(model.head, SharedAttentionHead)
        and is_dense(model.encoder)
        and device.type == "cpu"
        and model.precision == "float32"
        and torch.backends.mkldnn.is_available()
    )


def logits(model: BagClassifier, x: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the logits of bags as `BagClassifier.forward` does, up to rounding.

    Parameters
    ----------
    model : BagClassifier
        See `possible`.
    x, mask : tensors
        As for `BagClassifier.forward`.

    Returns
    -------
    (B, C) float32
        With a gradient for the parameters of the model, and none for `x`.
    """
    if mask is None:
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    found: Tensor = _Logits.apply(model.head, x, mask, *model.parameters())
    return found


class _Logits(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, head: SharedAttentionHead, x: Tensor, mask: Tensor, *parameters: Tensor
    ) -> Tensor:
        *encoder, weight, bias, of_attention, bias_of_attention = parameters
        outputs = [x.flatten(0, 1)]  # of each layer of the encoder, after its input
        for of_layer, bias_of_layer in zip(encoder[::2], encoder[1::2], strict=True):
            outputs.append(product(outputs[-1], of_layer, bias_of_layer).relu_())
        h = outputs[-1].view(*mask.shape, -1)
        attention = torch.addmm(bias_of_attention, outputs[-1], of_attention.T)
        attention = attention.view(*mask.shape, -1)
        weights = head.weights(attention, mask)
        pooled = (weights.mT @ h).flatten(1)
        ctx.save_for_backward(attention, weights, pooled, weight, of_attention)
        ctx.outputs, ctx.encoder = outputs, encoder[::2]
        return product(pooled, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of the parameters.

        Where w = a / H is a weight of attention, g its gradient, and A as in `models.attention`:

            dL/d(logit of A_it) = w_it (1 - A_it) (g_it - sum_t a_it g_it)
        """
        attention, weights, pooled, weight, of_attention = ctx.saved_tensors
        *inputs, last = ctx.outputs
        n_bags, n_instances, heads = weights.shape
        of_pooled = product(gradient, weight.T).view(n_bags, heads, -1)
        g = last.view(n_bags, n_instances, -1) @ of_pooled.mT
        g -= heads * (weights * g).sum(1, keepdim=True)
        g = (weights * torch.sigmoid(-attention) * g).flatten(0, 1)
        found = [product(gradient.T, pooled.T), gradient.sum(0), g.T @ last, g.sum(0)]
        g = (weights @ of_pooled).flatten(0, 1).addmm_(g, of_attention)
        for of_layer, layer_input in zip(reversed(ctx.encoder), reversed(inputs), strict=True):
            # In place, the gradient of the ReLU after the layer.
            torch.ops.aten.threshold_backward.grad_input(g, last, 0, grad_input=g)
            found = [product(g.T, layer_input.T), g.sum(0), *found]
            if layer_input is not inputs[0]:
                g, last = product(g, of_layer.T), layer_input
        return None, None, None, *found


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute x W^T + b for x (N, I), weight (O, I) and bias (O,), all in float32, with oneDNN."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found
