"""Adam with PyTorch's fused kernel; importing PyTorch's optimizers would take seconds."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class Adam:
    """Adam with L2 regularisation, bitwise equal to `torch.optim.Adam(..., fused=True)`.

    Parameters
    ----------
    parameters : iterable of Tensor
        What to optimise.
    learning_rate : float
        It may be changed between steps.
    weight_decay : float
        weight_decay * parameter is added to the gradient.
    betas : two floats
        Decay rates of the running means of gradients and of their squares.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        weight_decay: float = 0.0,
        betas: Sequence[float] = (0.9, 0.999),
    ) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.betas = betas
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [parameter.new_zeros(()) for parameter in self.parameters]

    @torch.no_grad()
    def update(self, gradients: Sequence[Tensor]) -> None:
        """Take one step, given the gradient for each parameter."""
        aligned = [
            # The kernel runs through memory linearly, so both must have the same layout.
            gradient
            if gradient.stride() == parameter.stride()
            else torch.empty_like(parameter).copy_(gradient)
            for gradient, parameter in zip(gradients, self.parameters, strict=True)
        ]
        torch._foreach_add_(self.steps, 1)
        torch._fused_adam_(
            self.parameters,
            aligned,
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
        """Return the state from which `load_state_dict` can continue."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Continue from a `state_dict`, maybe on another device, or of one vector of parameters."""
        for name, own in self.state_dict().items():
            saved = torch.cat([tensor.flatten() for tensor in state[name]])
            if name == "steps":  # the same for all parameters
                saved = saved[0].expand(len(own))
            parts = saved.split([tensor.numel() for tensor in own])
            for tensor, part in zip(own, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))
