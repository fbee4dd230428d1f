"""What becomes of the labels of many classes, epoch by epoch: the record of a training.

Only this record, and the choice of the best epoch where a study says so, see labels that the
training does not.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

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
    """

    def __init__(self, label: Tensor, truth: Tensor) -> None:
        fate = torch.where(label == UNKNOWN, 3 - (truth == 1).to(torch.uint8), 0)
        fate = torch.where(label == 1, 0, torch.where(label == 0, 1, fate))
        self._fate = fate.to(torch.uint8).masked_fill_(truth == UNKNOWN, len(FATES))

    def of_epoch(
        self, trained: Sequence[tuple[Tensor, Tensor, Tensor | None]]
    ) -> dict[str, Tensor]:
        """Sum up an epoch.

        Parameters
        ----------
        trained : sequence of tuple
            For each batch its bags (b,), their logits (b, C), and the treatment of their labels
            (b, C), or None if all were kept.

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
        bags = torch.cat([rows for rows, _, _ in trained])
        logits = torch.cat([values for _, values, _ in trained])
        fate = self._fate[bags]
        loss = torch.nn.functional.softplus(torch.where(fate == 0, -logits, logits))
        masks = [fate == number for number in range(len(FATES))]
        entries = torch.stack([mask.sum(0) for mask in masks])
        sums = torch.stack([(loss * mask).sum(0) for mask in masks])
        record = {"entries": entries.to(torch.int32), "loss": (sums / entries).float()}
        for name, what in (("rejected", REJECTED), ("corrected", CORRECTED)):
            record[name] = torch.zeros_like(record["entries"][2:])
            if trained[0][2] is not None:
                treated = torch.cat([each for _, _, each in trained if each is not None]) == what
                counts = [(treated & mask).sum(0) for mask in masks[2:]]
                record[name] = torch.stack(counts).to(torch.int32)
        return {name: values.cpu() for name, values in record.items()}
