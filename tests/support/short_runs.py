"""Short runs on made-up images, and what they give."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

from weakneg import strategies
from weakneg.bags.manifest import read_manifest
from weakneg.bags.split import split_validation
from weakneg.config.stages import RunSettings
from weakneg.features.store import read_store
from weakneg.training.data import BagData

DETERMINISTIC = ("model.pt", "history.parquet", "selection.h5", "run.json")
IDENTITY = {"study": "made_up", "class": "bright", "strategy": "mine", "fingerprint": "f00d"}
CPU = torch.device("cpu")


def run_settings(
    strategy="random",
    *,
    seeds=(0,),
    options=None,
    draw_per_seed=False,
    hidden_positives=0.0,
    **sections,
):
    """Settings of a short run; keyword arguments are settings of training, sampling or model."""
    found = {"model": {}, "sampling": {}, "training": {"epochs": 3, "validation_fraction": 0.3}}
    for section, model in RunSettings.model_fields.items():
        if section in found:
            fields = model.annotation.model_fields
            found[section] |= {key: sections.pop(key) for key in list(sections) if key in fields}
    assert not sections, f"no such settings: {sections}"
    return RunSettings.model_validate(
        {
            **found,
            "strategy": strategy,
            "options": {
                name: {"strategy": option.default}
                for name, option in strategies.options(strategy).items()
                if option.allowed in (strategies.Select, strategies.Ranking)
            }
            | (options or {}),
            "seeds": list(seeds),
            "draw_per_seed": draw_per_seed,
            "hidden_positives": hidden_positives,
        }
    )


def history(folder: Path, seed: int | None = None) -> pd.DataFrame:
    table = pd.read_parquet(folder / "history.parquet")
    if seed is not None:
        table = table[table.seed == seed].drop(columns="seed").reset_index(drop=True)
    return table


def weights(folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)["weights"][seed]


def selection(folder: Path, seed: int = 0) -> dict[str, np.ndarray]:
    with h5py.File(folder / "selection.h5") as file:
        found, names = file[f"seed_{seed}"], ("epoch", "bags", "scores", "weights")
        return {name: found[name][...] for name in names if name in found}


def assert_same_weights(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def assert_same_files(a: Path, b: Path, names=DETERMINISTIC) -> None:
    for name in names:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def bag_data(source: Path, split="train") -> tuple[BagData, np.ndarray]:
    """The bags of a split, and their labels."""
    store = read_store(source / f"{split}.h5")
    bags = read_manifest(source / f"{split}.csv", len(store.x))[0]
    return BagData(store, bags, CPU), bags.label


def split_rows(source: Path, seed=0, fraction=0.3):
    """Rows of the positive and negative training bags, and of the validation bags."""
    label = bag_data(source)[1]
    train, validation = split_validation(label, fraction, seed)
    return train[label[train] == 1], train[label[train] == 0], validation


def instance_logits(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(B, n) logits of the instances of bags x (B, n, *shape)."""
    scores = model.head(model.encoder(x.flatten(0, 1))).unflatten(0, x.shape[:2])
    return scores[..., 1] - scores[..., 0]
