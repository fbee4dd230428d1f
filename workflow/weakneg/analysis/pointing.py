"""The pointing game: whether a model of many classes hears, or sees, an event where it is.

A bag that is positive for a class has instances that hold it and instances that do not, and the one
that speaks most for the class should be one of the first.

References
----------
Kim et al., "Large Loss Matters in Weakly Supervised Multi-Label Classification" (CVPR 2022), table
5, after Zhang et al., "Top-Down Neural Attention by Excitation Backprop" (2018).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score

from weakneg.config.stages import ScoreSettings
from weakneg.models import bag_classifier
from weakneg.training.data import BagData

COLUMNS = ["strategy", "seed", "class", "bags", "pointing", "chance", "instance_ap", "prevalence"]


@torch.inference_mode()
def parts_of_seeds(
    saved: Mapping[str, Any], settings: ScoreSettings, data: BagData, rows: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Compute what each instance says of each class, by the models of a run.

    Parameters
    ----------
    saved : mapping
        Its model.pt.
    settings : ScoreSettings
        The model, and its C classes.
    data : BagData
        The test bags.
    rows : ndarray, (b,) int64
        Which bags.

    Yields
    ------
    int
        The seed.
    ndarray, (b, M, C) float32
        As `BagClassifier.parts` returns them.
    """
    assert settings.classes is not None
    model = bag_classifier.load(settings.model, data.instance_shape, len(settings.classes))
    model = model.to(data.device).eval()
    batches = torch.split(data.rows(rows), settings.score_batch_size)
    for seed, weights in saved["weights"].items():
        model.load_state_dict(weights)
        parts = [model.parts(data.normalise(x), mask).cpu() for x, mask in data.inputs(batches)]
        yield seed, torch.cat(parts).numpy()


def play(
    saved: Mapping[str, Any],
    settings: ScoreSettings,
    data: BagData,
    mask: np.ndarray,
    of_classes: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> pd.DataFrame:
    """Play with the models of a run.

    Parameters
    ----------
    saved, settings, data
        As for `parts_of_seeds`.
    mask : ndarray, (B, M) bool
        True where a bag has an instance.
    of_classes : mapping
        As `weakneg.analysis.places.instances_of_classes` returns it.

    Returns
    -------
    DataFrame
        A row for each seed and class, with the columns `COLUMNS` but the first: number of bags;
        share of them in which the highest instance holds the class; that share for an instance
        drawn at random; and average precision of the instances of these bags, whose prevalence is
        that of a random ranking.
    """
    assert settings.classes is not None
    rows = np.unique(np.concatenate([of_class for of_class, _ in of_classes.values()]))
    found = []
    for seed, parts in parts_of_seeds(saved, settings, data, rows):
        for name, (of_class, holds) in of_classes.items():
            here = parts[np.searchsorted(rows, of_class), :, settings.classes.index(name)]
            there = mask[of_class]
            highest = np.where(there, here, -np.inf).argmax(1)
            found.append(
                {
                    "seed": seed,
                    "class": name,
                    "bags": len(of_class),
                    "pointing": holds[np.arange(len(holds)), highest].mean(),
                    "chance": (holds.sum(1) / there.sum(1)).mean(),
                    "instance_ap": average_precision_score(holds[there], here[there]),
                    "prevalence": holds[there].mean(),
                }
            )
    return pd.DataFrame(found, columns=COLUMNS[1:])
