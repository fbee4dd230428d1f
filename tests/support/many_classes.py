"""Bags of feature vectors with labels of several classes, and short trainings on them."""

import numpy as np
import torch
from short_runs import CPU, run_settings

from weakneg.bags.draw import Bags
from weakneg.bags.hidden import observe
from weakneg.config.stages import RunSettings
from weakneg.config.strategy import Observed
from weakneg.features.store import Store
from weakneg.training.data import BagData

NAMES = ("a", "b", "c", "d")


def store(n=160, n_frames=3, n_features=8, classes=NAMES, seed=0) -> Store:
    """Clips that a linear model can learn: a class shifts one of the numbers of a frame."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, len(classes))) < 0.3).astype(np.uint8)
    x = rng.normal(size=(n, n_frames, n_features)).astype(np.float32)
    x[np.arange(n), rng.integers(n_frames, size=n), : len(classes)] += 4 * y
    return Store(
        x=x,
        id=np.arange(n),
        y=y,
        class_names=tuple(classes),
        mean=np.zeros(n_features),
        std=np.ones(n_features),
        kind="clips",
        parameters={},
        length=np.full(n, n_frames),
        start=np.zeros(n),
    )


def bags_of(features: Store, label: np.ndarray | None = None) -> Bags:
    n, n_frames = features.x.shape[:2]
    return Bags(
        bag=np.arange(n),
        label=(features.y if label is None else label).astype(np.int8),
        density=np.full(n, np.nan),
        instances=np.arange(n * n_frames).reshape(n, n_frames),
    )


def settings(loss="bce", classes=NAMES, seeds=(0,), observed=None, **more) -> RunSettings:
    found = run_settings(
        "full", seeds=seeds, **{"name": "mlp", "pooling": "attention", "epochs": 4, **more}
    )
    given = {"name": loss} if isinstance(loss, str) else loss
    training = found.training.model_validate(found.training.model_dump() | {"loss": given})
    return found.model_copy(
        update={
            "classes": list(classes),
            "observed": Observed() if observed is None else observed,
            "training": training,
        }
    )


def data_of(features: Store, settings: RunSettings, seed=0) -> BagData:
    data = BagData(features, bags_of(features), CPU)
    return data.relabelled(observe(data.bags, settings.observed, seed))


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
