"""The pointing game: whether a model of many classes hears, or sees, an event where it is.

A bag that is positive for a class has instances that hold it and instances that do not, and the one
that speaks most for the class should be one of the first.

References
----------
Kim et al., "Large Loss Matters in Weakly Supervised Multi-Label Classification" (CVPR 2022), table
5, after Zhang et al., "Top-Down Neural Attention by Excitation Backprop" (2018).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score

from weakneg.bags.draw import Bags
from weakneg.config.stages import ScoreSettings
from weakneg.datasets.listened import HeardClip, match_clips
from weakneg.errors import UserError
from weakneg.features.store import Store
from weakneg.models import bag_classifier
from weakneg.training.data import BagData

COLUMNS = ["strategy", "seed", "class", "bags", "pointing", "chance", "instance_ap", "prevalence"]


def instances_of_classes(
    store: Store,
    bags: Bags,
    classes: Sequence[str],
    heard: Sequence[HeardClip],
    means: Mapping[str, Mapping[str, Sequence[str]]],
    frame_seconds: float | None,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Find the bags to play with: those of which some instances hold the class and others do not.

    Parameters
    ----------
    store : Store
        The test store. Of images, it says what each instance is.
    bags : Bags
        The B test bags, of up to M instances.
    classes : sequence of str
        The classes.
    heard : sequence of HeardClip
        What people heard, and when, in clips.
    means : mapping
        Class -> "heard", the labels of this list that mean it; only these classes are played.
    frame_seconds : float, optional
        Time from one frame of a clip to the next. A frame holds an event if its centre does.

    Returns
    -------
    dict
        Class -> rows of its n bags, (n,) int64, and whether each instance holds it, (n, M) bool.

    Raises
    ------
    UserError
        When there is no such bag.
    """
    if store.kind == "images":
        found = dict(_images(store, bags, classes))
    else:
        assert frame_seconds is not None
        found = dict(_clips(store, bags, heard, means, frame_seconds))
    if not found:
        raise UserError(
            "the pointing game has no test bag in which the class is known to be in some instances "
            "and not in others: remove truth: frame_seconds from the study, or name a list that "
            "says when events begin and end."
        )
    return found


def _images(
    store: Store, bags: Bags, classes: Sequence[str]
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    for name in classes:
        holds = store.positive(name)[bags.instances] & bags.mask
        yield from _mixed(name, np.arange(len(bags)), holds, bags.mask)


def _clips(
    store: Store,
    bags: Bags,
    heard: Sequence[HeardClip],
    means: Mapping[str, Mapping[str, Sequence[str]]],
    frame_seconds: float,
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    assert store.start is not None
    ids, starts = store.id[bags.bag].tolist(), store.start[bags.bag].tolist()
    found = match_clips(ids, starts, heard)
    rows = np.array(sorted(found), dtype=np.int64)
    centres = (np.arange(bags.instances.shape[1]) + 0.5) * frame_seconds
    for name, labels in means.items():
        holds = np.zeros((len(rows), len(centres)), dtype=bool)
        for place, row in enumerate(rows.tolist()):
            for label, onset, offset in found[row].sounds:
                if label in labels["heard"]:
                    holds[place] |= (centres >= onset) & (centres < offset)
        yield from _mixed(name, rows, holds & bags.mask[rows], bags.mask[rows])


def _mixed(
    name: str, rows: np.ndarray, holds: np.ndarray, mask: np.ndarray
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """The bags with instances of both kinds, if there are any."""
    mixed = holds.any(1) & (mask & ~holds).any(1)
    if mixed.any():
        yield name, (rows[mixed], holds[mixed])


@torch.inference_mode()
def play(
    saved: Mapping[str, Any],
    settings: ScoreSettings,
    data: BagData,
    of_classes: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> pd.DataFrame:
    """Play with the models of a run.

    Parameters
    ----------
    saved : mapping
        Its model.pt.
    settings : ScoreSettings
        The model, and its classes.
    data : BagData
        The test bags.
    of_classes : mapping
        As `instances_of_classes` returns it.

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
    model = bag_classifier.load(settings.model, data.instance_shape, len(settings.classes))
    model = model.to(data.device).eval()
    batches = torch.split(data.rows(rows), settings.score_batch_size)
    found = []
    for seed, weights in saved["weights"].items():
        model.load_state_dict(weights)
        parts = torch.cat(
            [model.parts(data.normalise(x), mask).cpu() for x, mask in data.inputs(batches)]
        ).numpy()
        for name, (of_class, holds) in of_classes.items():
            here = parts[np.searchsorted(rows, of_class), :, settings.classes.index(name)]
            mask = data.bags.mask[of_class]
            highest = np.where(mask, here, -np.inf).argmax(1)
            found.append(
                {
                    "seed": seed,
                    "class": name,
                    "bags": len(of_class),
                    "pointing": holds[np.arange(len(holds)), highest].mean(),
                    "chance": (holds.sum(1) / mask.sum(1)).mean(),
                    "instance_ap": average_precision_score(holds[mask], here[mask]),
                    "prevalence": holds[mask].mean(),
                }
            )
    return pd.DataFrame(found, columns=COLUMNS[1:])
