"""Where the instances of test bags are, and which of them hold a class.

Of images this is always known. Of clips, whose instances are moments, it is where people noted when
they heard what.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from weakneg.audio.mel import LogMel
from weakneg.bags.draw import Bags
from weakneg.config.stages import ScoreSettings
from weakneg.datasets.listened import HeardClip, match_clips
from weakneg.errors import UserError
from weakneg.features.store import Store
from weakneg.models import bag_classifier
from weakneg.training.data import BagData

Means = Mapping[str, Mapping[str, Sequence[str]]]
"""Class -> "heard", the labels of a list of what people heard that mean it."""


class Places(NamedTuple):
    """Where the instances of B bags are.

    Attributes
    ----------
    mask : ndarray, (B, M) bool
        True where there is an instance; those of clips that hold no sound are not.
    edges : ndarray, (M + 1,) or None
        Of clips, where each instance ends and the next begins, in seconds.
    ends : ndarray, (B,) or None
        Of clips, where their sound ends, in seconds.
    """

    mask: np.ndarray
    edges: np.ndarray | None
    ends: np.ndarray | None


def places_of(
    store: Store, data: BagData, settings: ScoreSettings, frame_seconds: float | None
) -> Places:
    """Find where the instances of test bags are.

    Parameters
    ----------
    store : Store
        The test store.
    data : BagData
        The test bags.
    settings : ScoreSettings
        The model. Of spectrograms, it makes the instances.
    frame_seconds : float, optional
        Of clips that are feature vectors: time from one to the next.

    Returns
    -------
    Places
    """
    bags = data.bags
    if store.kind == "images":
        return Places(bags.mask, None, None)
    if data.audio is None:
        assert frame_seconds is not None
        edges = np.arange(bags.instances.shape[1] + 1) * frame_seconds
        return Places(bags.mask, edges, bags.mask.sum(1) * frame_seconds)
    assert settings.classes is not None
    model = bag_classifier.load(settings.model, data.instance_shape, len(settings.classes)).eval()
    with torch.inference_mode():
        blank = torch.zeros(1, 1, *data.instance_shape)
        n = model.instances(blank, None)[0].shape[1]
    mel = LogMel.of(data.audio)
    first = 0.5 * mel.frame_samples / mel.sample_rate  # centre of the first row
    step = model.frame_step * mel.shift_samples / mel.sample_rate
    rows = data.frames.cpu()
    mask = np.arange(n) * model.frame_step < rows.numpy()[:, None]
    ends = mel.n_samples(rows).numpy() / mel.sample_rate
    return Places(mask, first + (np.arange(n + 1) - 0.5) * step, ends)


def instances_of_classes(
    store: Store,
    bags: Bags,
    places: Places,
    classes: Sequence[str],
    heard: Sequence[HeardClip],
    means: Means,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Find the bags of which some instances hold a class and others do not.

    Parameters
    ----------
    store : Store
        The test store. Of images, it says what each instance is.
    bags : Bags
        The B test bags.
    places : Places
        Their instances.
    classes : sequence of str
        The classes.
    heard : sequence of HeardClip
        What people heard, and when, in clips.
    means : mapping
        Of clips, the classes that are looked for. A frame holds an event if its centre does.

    Returns
    -------
    dict
        Class -> rows of its n bags, (n,) int64, and whether each instance holds it, (n, M) bool.

    Raises
    ------
    UserError
        When there is no such bag.
    """
    if places.edges is None:
        holds = {name: store.positive(name)[bags.instances] for name in classes}
        rows = np.arange(len(bags))
    else:
        of_rows = heard_in(store, bags, heard)
        rows = np.array([*of_rows], dtype=np.int64)
        centres = (places.edges[:-1] + places.edges[1:]) / 2
        holds = {name: _sounding(of_rows.values(), means[name], centres) for name in means}
    found = dict(_mixed(rows, holds, places.mask[rows]))
    if not found:
        raise UserError(
            "the pointing game has no test bag in which the class is known to be in some instances "
            "and not in others: remove truth from the study, or name a list that says when events "
            "begin and end."
        )
    return found


def heard_in(store: Store, bags: Bags, heard: Sequence[HeardClip]) -> dict[int, HeardClip]:
    """What was heard in those of the test bags that are in a list, by their rows, in order."""
    assert store.start is not None
    ids, starts = store.id[bags.bag].tolist(), store.start[bags.bag].tolist()
    return dict(sorted(match_clips(ids, starts, heard).items()))


def _sounding(
    heard: Iterable[HeardClip], means: Mapping[str, Sequence[str]], centres: np.ndarray
) -> np.ndarray:
    """Whether a class sounds in the centre of each frame of n clips, (n, M) bool."""
    holds = [
        [(centres >= onset) & (centres < offset) for _, onset, offset in of_class(clip, means)]
        for clip in heard
    ]
    sounding = [np.any([np.zeros(len(centres), bool), *each], axis=0) for each in holds]
    return np.array(sounding, dtype=bool)


def of_class(
    clip: HeardClip, means: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, float, float]]:
    """The sounds of a clip that mean a class."""
    return (sound for sound in clip.sounds if sound[0] in means["heard"])


def _mixed(
    rows: np.ndarray, holds: Mapping[str, np.ndarray], mask: np.ndarray
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """The bags with instances of both kinds, of the classes that have any."""
    for name, of_name in holds.items():
        held = of_name.reshape(mask.shape) & mask
        mixed = held.any(1) & (mask & ~held).any(1)
        if mixed.any():
            yield name, (rows[mixed], held[mixed])
