"""The optimiser: PyTorch's Adam, to the bit, without what importing it costs."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from weakneg.training.adam import Adam

X, Y = torch.randn(64, 10), torch.randn(64, 1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 1))


def loss_of(model: nn.Module) -> torch.Tensor:
    return (model(X) - Y).square().mean()


def step(adam: Adam, loss: torch.Tensor) -> None:
    adam.update(torch.autograd.grad(loss, adam.parameters))


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.95, 0.99)])
def test_steps_are_those_of_pytorch(betas):
    ours, theirs = network(), network()
    options = {"weight_decay": 0.01, "betas": betas}
    adam = Adam(ours.parameters(), learning_rate=1e-2, **options)
    reference = torch.optim.Adam(theirs.parameters(), lr=1e-2, fused=True, **options)
    for number in range(20):
        if number == 10:
            adam.learning_rate = reference.param_groups[0]["lr"] = 1e-3
        step(adam, loss_of(ours))
        reference.zero_grad()
        loss_of(theirs).backward()
        reference.step()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(own, other)


def test_steps_are_those_of_pytorch_whatever_the_memory_format():
    """A convolution in channels-last, whose gradient may lie in memory in another order."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, 8, 8)
    ours = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
    theirs = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
    theirs.load_state_dict(ours.state_dict())
    adam = Adam(ours.parameters(), learning_rate=1e-2)
    reference = torch.optim.Adam(theirs.parameters(), lr=1e-2, fused=True)
    for _ in range(3):
        # The weight's own square has a gradient in the order of the weight, the product not.
        flat = torch.arange(135.0)
        step(adam, ours(x).square().mean() + (ours.weight.flatten() * flat).sum())
        reference.zero_grad()
        (theirs(x).square().mean() + (theirs.weight.flatten() * flat).sum()).backward()
        reference.step()
    assert torch.equal(ours.weight, theirs.weight)


def test_a_restored_state_goes_on_as_if_never_interrupted():
    whole, halves = network(), network()
    adam = Adam(whole.parameters(), learning_rate=1e-2)
    before = Adam(halves.parameters(), learning_rate=1e-2)
    for _ in range(5):
        step(adam, loss_of(whole))
        step(before, loss_of(halves))
    after = Adam(halves.parameters(), learning_rate=1e-2)
    after.load_state_dict(before.state_dict())
    for _ in range(5):
        step(adam, loss_of(whole))
        step(after, loss_of(halves))
    for own, other in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(own, other)


def test_a_step_does_not_import_the_compiler_of_pytorch():
    """It takes a second or more, which every training job would pay at its start."""
    program = (
        "import sys, torch\n"
        "import weakneg.training.run\n"
        "from weakneg.training.adam import Adam\n"
        "weight = torch.nn.Parameter(torch.ones(3))\n"
        "adam = Adam([weight], learning_rate=0.1)\n"
        "adam.update(torch.autograd.grad(weight.sum(), [weight]))\n"
        "assert weight[0] < 1\n"
        "print('torch._dynamo' in sys.modules, 'sklearn' in sys.modules)\n"
    )
    workflow = f"{__file__.rsplit('/', 3)[0]}/workflow"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": workflow},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["False", "False"]
