"""Adam by PyTorch's fused kernel, without the seconds that importing its optimizers takes."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Adam:
    """Adam with L2 regularisation: `torch.optim.Adam(..., fused=True)`, to the bit.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.

    weight_decay: added to the gradient as weight_decay * parameter
    betas: decay of the means of gradients and of their squares
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        weight_decay: float = 0.0,
        betas: Sequence[float] = (0.9, 0.999),
    ):
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.betas = betas
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [parameter.new_zeros(()) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, loss: Tensor) -> None:
        """Go one step down the gradient of `loss`."""
        gradients = [
            # The kernel walks through memory: both must lie there in the same order.
            gradient
            if gradient.stride() == parameter.stride()
            else torch.empty_like(parameter).copy_(gradient)
            for gradient, parameter in zip(
                torch.autograd.grad(loss, self.parameters), self.parameters, strict=True
            )
        ]
        torch._foreach_add_(self.steps, 1)
        torch._fused_adam_(
            self.parameters,
            gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            lr=self.learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What `load_state_dict` needs to go on."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from a `state_dict`, which may be on another device."""
        for name, own in self.state_dict().items():
            for tensor, saved in zip(own, state[name], strict=True):
                tensor.copy_(saved)
