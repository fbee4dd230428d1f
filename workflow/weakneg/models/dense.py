"""The dense layers of several bag classifiers as one, with the gradient written out.

Layers this small cost more in calls of kernels, and in keeping track of them for the gradient, than
in arithmetic.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from weakneg.models.attention import AttentionHead
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.pooling import PooledHead


class Stack:
    """The weights of S classifiers in one tensor per parameter, of which theirs become parts.

    Parameters
    ----------
    models : sequence of BagClassifier
        Classifiers of the same shape, whose encoders are linear layers, each followed by a ReLU,
        and whose heads have a `pool`.
    """

    def __init__(self, models: Sequence[BagClassifier]) -> None:
        head = models[0].head
        assert isinstance(head, AttentionHead | PooledHead)
        self._pool = head.pool
        stacked = []
        for parameters in zip(*(model.parameters() for model in models), strict=True):
            stacked.append(torch.stack([parameter.detach() for parameter in parameters]))
            for parameter, own in zip(parameters, stacked[-1], strict=True):
                parameter.data = own
        self._layers = list(zip(stacked[::2], stacked[1::2], strict=True))

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

    def backward(self, gradient: Tensor) -> list[Tensor]:
        """Compute the gradient for each parameter, (s, *shape).

        Parameters
        ----------
        gradient : (s, B) float32
            That of the losses with respect to the logits that `forward` has returned last.
        """
        n_models, n_outputs = len(gradient), self._slopes.shape[2]
        g = (self._slopes * gradient.reshape(-1, 1, 1)).view(n_models, -1, n_outputs)
        found: list[Tensor] = []
        for place in reversed(range(len(self._layers))):
            weight, inputs = self._layers[place][0], self._inputs[place]
            found[:0] = [torch.bmm(g.mT, inputs), g.sum(1)]
            if place:
                g = torch.bmm(g, weight[:n_models])
                # In place, the gradient of the ReLU that made the inputs.
                torch.ops.aten.threshold_backward.grad_input(g, inputs, 0, grad_input=g)
        return found
