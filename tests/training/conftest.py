"""Made-up images and runs on them."""

from pathlib import Path

import numpy as np
import pytest
from by_position import train_run
from short_runs import IDENTITY, run_settings

from weakneg.bags.draw import draw as draw_bags
from weakneg.bags.manifest import write_manifest
from weakneg.features.from_files import channel_statistics, one_hot
from weakneg.features.store import Store, write_store


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with train.h5, train.csv, test.h5, test.csv: grey images, one class brighter."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    statistics = None
    for number, split in enumerate(("train", "test")):
        bright = np.arange(500) < 60
        x = rng.normal(60 + 20 * bright[:, None, None, None], 50, (500, 1, 8, 8))
        x = x.clip(0, 255).astype(np.uint8)
        statistics = statistics or channel_statistics(x)
        mean, std = statistics
        names = ("dark", "bright")
        store = Store(x, np.arange(500), one_hot(bright.astype(int), 2), names, mean, std, "", {})
        write_store(folder / f"{split}.h5", store)
        write_manifest(folder / f"{split}.csv", {0: draw_bags(bright, 5, "uniform", number)})
    return folder


@pytest.fixture
def train(data, tmp_path):
    """train(name, strategy, settings...) -> the folder of a run, trained on the CPU."""

    def train(name="run", *args, identity=IDENTITY, source=data, **kwargs) -> Path:
        settings = run_settings(*args, **kwargs)
        inputs = (source / "train.h5", source / "train.csv")
        train_run(*inputs, tmp_path / name, settings, identity, "cpu", 1)
        return tmp_path / name

    return train
