"""What becomes of the labels of many classes, epoch by epoch: the record of a training.

Only this record, and the choice of the best epoch where a study says so, see labels that the
training does not.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import softplus

from weakneg.bags.draw import UNKNOWN
from weakneg.losses.batch import CORRECTED, REJECTED

FATES = ("observed_positive", "observed_negative", "hidden_positive", "hidden_negative")
"""What a label is, and whether training sees it. Those that are hidden are taken for negative."""

HIDDEN = FATES[2:]


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
        fate = torch.where(label == UNKNOWN, 3 - (truth == 1).to(torch.uint8), 0)
        fate = torch.where(label == 1, 0, torch.where(label == 0, 1, fate))
        fate = fate.to(torch.uint8).masked_fill_(truth == UNKNOWN, len(FATES))
        self._fate = fate.to(device)
        self._numbers = torch.arange(len(FATES), dtype=torch.uint8, device=device)[:, None]
        treatments = torch.tensor([REJECTED, CORRECTED], dtype=torch.uint8, device=device)
        self._treatments = treatments[:, None]
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
        fate = self._fate[bags]
        loss = softplus(torch.where(fate == 0, -logits, logits))
        masks = (fate[:, None] == self._numbers).to(loss.dtype)  # (b, 4, C)
        self._entries += masks.sum(0)
        self._losses += (masks * loss[:, None]).sum(0)
        if treatment is not None:
            treated = (treatment[:, None] == self._treatments).to(loss.dtype)  # (b, 2, C)
            self._treated += (treated[:, :, None] * masks[:, None, 2:]).sum(0)

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
        rejected, corrected = self._treated.to("cpu", torch.int32)
        record = {
            "entries": self._entries.to("cpu", torch.int32),
            "loss": (self._losses / self._entries).to("cpu", torch.float32),
            "rejected": rejected,
            "corrected": corrected,
        }
        self._start()
        return record

    def _start(self) -> None:
        zeros = partial(torch.zeros, dtype=torch.float64, device=self._fate.device)
        n_classes = self._fate.shape[1]
        self._entries, self._losses = zeros(2, len(FATES), n_classes)
        self._treated = zeros(2, len(HIDDEN), n_classes)
