"""What becomes of the labels of many classes, epoch by epoch: the record of a training.

Only this record, and the choice of the best epoch where a study says so, see labels that the
training does not.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from weakneg.bags.draw import UNKNOWN
from weakneg.losses.batch import CORRECTED, REJECTED

FATES = ("observed_positive", "observed_negative", "hidden_positive", "hidden_negative")
"""What a label is, and whether training sees it. Those that are hidden are taken for negative."""

HIDDEN = FATES[2:]

_N = len(FATES) + 1
"""The fates, and that of a label which is not known here either."""


class LabelRecord:
    """Sums up what a loss did with the labels of an epoch, class by class.

    Parameters
    ----------
    label : Tensor, (N, C)
        What training knows: 1, 0 or `UNKNOWN`.
    truth : Tensor, (N, C)
        The same, before part of it was hidden.
    device : torch.device
        Where the batches are.
    """

    def __init__(self, label: Tensor, truth: Tensor, device: torch.device) -> None:
        fate = (truth != 1).to(torch.uint8).add_(label == UNKNOWN, alpha=len(HIDDEN))
        self._fate = fate.masked_fill_(truth == UNKNOWN, len(FATES)).to(device)
        self._start()

    def add(self, bags: Tensor, logits: Tensor, treatment: Tensor | None) -> None:
        """Add a batch.

        Parameters
        ----------
        bags : (b,) int64
            Its bags.
        logits : (b, C) float32
            What the model says of them.
        treatment : (b, C) uint8, optional
            What the loss did with their labels; None if all were kept.
        """
        fate = self._fate.index_select(0, bags)
        loss = softplus(torch.where(fate == 0, -logits, logits)).double()
        kind = (fate if treatment is None else fate + _N * treatment).long()
        self._entries.scatter_add_(0, kind, torch.ones_like(kind))
        self._losses.scatter_add_(0, kind, loss)

    def of_epoch(self) -> dict[str, Tensor]:
        """Sum up the batches that were added, and start again.

        Returns
        -------
        dict of str to Tensor
            entries (4, C) int32
                Number of labels of each of the `FATES`.
            loss (4, C) float32
                Their mean cross-entropy with the label that training assumes, before any
                correction. NaN where there are none.
            rejected, corrected (2, C) int32
                Number of those of `HIDDEN` that the loss has rejected, or taken for positive.
        """
        by_treatment = self._entries.view(3, _N, -1)
        entries = by_treatment.sum(0)
        losses = self._losses.view(by_treatment.shape).sum(0)
        hidden = slice(len(FATES) - len(HIDDEN), len(FATES))
        found = {
            "entries": entries[: len(FATES)].to("cpu", torch.int32),
            "loss": (losses / entries)[: len(FATES)].to("cpu", torch.float32),
            "rejected": by_treatment[REJECTED, hidden].to("cpu", torch.int32),
            "corrected": by_treatment[CORRECTED, hidden].to("cpu", torch.int32),
        }
        self._start()
        return found

    def _start(self) -> None:
        # A row for each treatment and fate.
        shape = (3 * _N, self._fate.shape[1])
        self._entries = torch.zeros(shape, dtype=torch.int64, device=self._fate.device)
        self._losses = torch.zeros(shape, dtype=torch.float64, device=self._fate.device)
