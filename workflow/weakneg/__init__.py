"""Choosing negative bags for weakly labelled data."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weakneg.inference.loaded import Models


def load(results: Any, **options: Any) -> "Models":
    """Load trained models of sound; `weakneg.inference.loaded.load` says which options there are.

    Parameters
    ----------
    results : path, or sequence of path
        Folder of a study's results, folder of a run or its model.pt; or several of the last two.
    **options
        Such as strategy="badge".

    Returns
    -------
    weakneg.inference.loaded.Models
        The models, whose method `predict` scores recordings.
    """
    from weakneg.inference import loaded  # imports PyTorch

    return loaded.load(results, **options)
