"""The losses: what training minimises. One file each.

A loss is a module in this folder that defines

    def loss(batch: Batch, *, <options>) -> Losses

Its name is the name of its file; a study names it, as in `training: {loss: bce}`. A user's own may
also be beside a study, which then names it by its path (see `weakneg.plugins`). `loss` is a pure
function (see `weakneg.losses.batch`): it returns a value for every entry of the batch, and training
minimises the mean of all values, each times the weight of its bag: that of positives, or that which
a strategy gives a negative. A loss does not see these weights; what it compares within a batch, it
compares without them. It must work for one class (B,) and for several (B, C), and must
not modify its arguments. Options are as those of a strategy: keyword-only, annotated with
`Literal[...]`, float, int, bool or str, and with a default.

An entry is a bag and a class. Labels that were not observed are taken to be negative, and some
losses doubt that: they reject or correct such labels, and never observed ones.

A loss that has to remember something about its bags keeps it in a state, a dictionary of tensors
on the device of the labels. Its file then defines

    def initial_state(labels: Tensor, observed: Tensor, generator: torch.Generator) -> State

for the labels (N,) or (N, C) of all N bags, with a CPU generator; of those that are held out, the
labels are not observed. `loss` reads the rows
`batch.bags` of these tensors and returns what they become. Tensors that are not per bag, of any
shape, are only read by `loss`, and change between the epochs, where

    def before_epoch(state: State, labels: Tensor, observed: Tensor) -> State

returns the complete state for the next epoch, given the last one. It is called before every
epoch, also the first, and it is pure, too. The state is saved after every epoch.

    DOUBTS = True

says that the loss looks at `observed`, or has a state: it needs whole bags, not mixtures of two.
`DISPLAY_NAME = "LL-R"` is what tables and figures call it; training does not depend on it.

The gradients that strategies see are always those of the cross-entropy. The functions here read
the sources, and only `load`, `initial_state` and `before_epoch` import a loss (and with it torch).
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from weakneg import plugins
from weakneg.plugins import Option

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weakneg.losses.batch import Losses, State

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of all losses, in alphabetical order."""
    return plugins.names(_FOLDER, "loss")


def load(name: str) -> "Callable[..., Losses]":
    """Import a loss.

    Parameters
    ----------
    name : str
        Name of the loss.

    Returns
    -------
    callable
        Its function `loss`.

    Raises
    ------
    UserError
        When there is no loss of that name.
    """
    loss: Callable[..., Losses] = _module(name).loss
    return loss


def initial_state(
    name: str, labels: "Tensor", observed: "Tensor", generator: "torch.Generator"
) -> "State":
    """The state of a loss before training.

    Parameters
    ----------
    name : str
        Name of the loss.
    labels : Tensor, (N,) or (N, C) float32
        Labels of all training bags.
    observed : Tensor, same shape, bool
        Whether the label was observed.
    generator : torch.Generator
        Source of random numbers, on the CPU.

    Returns
    -------
    State
        Empty if the loss has none.
    """
    make: Callable[..., State] | None = getattr(_module(name), "initial_state", None)
    return make(labels, observed, generator) if make else {}


def before_epoch(name: str, state: "State", labels: "Tensor", observed: "Tensor") -> "State":
    """The state with which an epoch begins.

    Parameters
    ----------
    name : str
        Name of the loss.
    state : State
        What the last epoch left, or, before the first epoch, the initial state.
    labels, observed : Tensor
        As for `initial_state`.

    Returns
    -------
    State
        The whole new state: `state` itself if the loss has nothing to do between epochs.
    """
    make: Callable[..., State] | None = getattr(_module(name), "before_epoch", None)
    return make(state, labels, observed) if make else state


def options(name: str) -> dict[str, Option]:
    """The options of a loss, read from its source.

    Parameters
    ----------
    name : str
        Name of the loss.

    Returns
    -------
    dict of str to Option
        The options by name, in the order of the signature.

    Raises
    ------
    UserError
        When there is no loss of that name; when an option has no default, or an annotation that is
        not supported.

    Examples
    --------
    >>> options("focal")["gamma"]
    Option(allowed=<class 'float'>, default=2.0)
    """
    _check(name)
    return plugins.options(_FOLDER, name, "loss", "loss")


def doubts(name: str) -> bool:
    """Whether the loss needs whole bags, because it looks at `observed` or has a state."""
    _check(name)
    found: bool = plugins.constant(_FOLDER, name, "DOUBTS", False)
    return found


def display_name(loss: str, name: str) -> str:
    """The name of a loss in tables and figures: see `weakneg.plugins.display_name`."""
    _check(loss)
    return plugins.display_name(_FOLDER, loss, name)


def _check(name: str) -> None:
    plugins.check(_FOLDER, name, "loss", "loss")


def _module(name: str) -> ModuleType:
    _check(name)
    return plugins.load_own(name) or importlib.import_module(f"{__name__}.{name}")
