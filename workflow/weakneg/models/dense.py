"""The dense layers of several bag classifiers as one, with the gradient written out.

Layers this small cost more in calls of kernels, and in keeping track of them for the gradient, than
in arithmetic.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils import parameters_to_vector

from weakneg.models.attention import AttentionHead
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.pooling import PooledHead

_LINE = 16  # numbers (float32) in a cache line


def vector(model: BagClassifier) -> Tensor:
    """Return a copy of the parameters of a classifier as one vector."""
    return parameters_to_vector(model.parameters()).detach()


def is_dense(encoder: nn.Module) -> bool:
    """Whether an encoder of vectors is linear layers, each followed by a ReLU, and all are learnt.

    Only of these is the gradient written out, here and in `weakneg.models.dense_classes`.
    """
    if not isinstance(encoder, nn.Sequential) or hasattr(encoder, "frame_step"):
        return False  # with a frame_step, it is one of spectrograms
    kinds = [type(layer) for layer in encoder]  # not a subclass, which may compute something else
    learnt = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    return (
        type(encoder).forward is nn.Sequential.forward
        and kinds == [nn.Linear, nn.ReLU] * (len(kinds) // 2)
        # A weight and a bias for each pair, and none that two layers share.
        and len(learnt) == len(kinds)
    )


class Stack:
    """The dense layers of S classifiers, whose parameters become parts of one tensor.

    Parameters
    ----------
    models : sequence of BagClassifier
        Classifiers of the same shape, whose encoders are dense (see `is_dense`), and whose heads
        have a `pool`.

    Attributes
    ----------
    weights, gradients : (S, P) float32
        Parameters, each row a `vector`, and what `backward` computes for them.
    """

    def __init__(self, models: Sequence[BagClassifier]) -> None:
        head = models[0].head
        assert isinstance(head, AttentionHead | PooledHead)
        self._pool = head.pool
        rows = torch.stack([vector(model) for model in models])
        n = rows.shape[1]
        # Every row begins a cache line, as products of numbers that do not may round differently.
        aligned = pad(rows, (0, -n % _LINE))
        self.weights, self.gradients = aligned[:, :n], torch.zeros_like(aligned)[:, :n]
        shapes = [parameter.shape for parameter in models[0].parameters()]
        for model, own in zip(models, self.weights, strict=True):
            for parameter, part in zip(model.parameters(), _parts(own, shapes), strict=True):
                parameter.data = part
        self._layers = _pairs(_parts(self.weights, shapes))
        self._layer_gradients = _pairs(_parts(self.gradients, shapes))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Compute the logits of bags, those of each classifier by itself.

        Parameters
        ----------
        x : (s, B, n, F) float32
            B bags for each of the first s classifiers, normalised.
        mask : (s, B, n) bool, optional
            True where there is an instance. None if there is one everywhere.

        Returns
        -------
        (s, B) float32
            Without gradient: see `backward`.
        """
        n_models, n_bags, n_instances = x.shape[:3]
        if mask is None:
            mask = torch.ones(x.shape[:3], dtype=torch.bool, device=x.device)
        self._inputs: list[Tensor] = []
        h = x.flatten(1, 2)
        for weight, bias in self._layers:
            self._inputs.append(h.relu_() if self._inputs else h)
            h = torch.baddbmm(bias[:n_models, None], self._inputs[-1], weight[:n_models].mT)
        logits, self._slopes = self._pool(h.view(-1, n_instances, h.shape[2]), mask.flatten(0, 1))
        return logits.view(n_models, n_bags)

    def backward(self, gradient: Tensor) -> None:
        """Compute the first s rows of `gradients`.

        Parameters
        ----------
        gradient : (s, B) float32
            That of the losses with respect to the logits that `forward` has returned last.
        """
        n_models, n_outputs = len(gradient), self._slopes.shape[2]
        g = (self._slopes * gradient.reshape(-1, 1, 1)).view(n_models, -1, n_outputs)
        for place in reversed(range(len(self._layers))):
            inputs, (of_weight, of_bias) = self._inputs[place], self._layer_gradients[place]
            torch.bmm(g.mT, inputs, out=of_weight[:n_models])
            torch.sum(g, 1, out=of_bias[:n_models])
            if place:
                g = torch.bmm(g, self._layers[place][0][:n_models])
                # In place, the gradient of the ReLU that made the inputs.
                torch.ops.aten.threshold_backward.grad_input(g, inputs, 0, grad_input=g)


def _parts(flat: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """The parameters (..., *shape) in `flat` (..., P)."""
    parts = flat.split([shape.numel() for shape in shapes], -1)
    return [part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)]


def _pairs(parameters: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each layer."""
    return list(zip(parameters[::2], parameters[1::2], strict=True))
