"""Losses that doubt labels, and positives that are hidden, in training."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from short_runs import (
    assert_same_files,
    assert_same_weights,
    bag_data,
    history,
    selection,
    split_rows,
    weights,
)

from weakneg.bags.hidden import hidden_bags
from weakneg.bags.manifest import read_manifest, write_manifest
from weakneg.training import run as run_module

DOUBTING = ["large_loss_rejection", "large_loss_permanent", "role", "nnpu"]


def trained(folder, seed=0) -> dict[str, np.ndarray]:
    with h5py.File(folder / "selection.h5") as file:
        return {name: values[...] for name, values in file[f"seed_{seed}/trained"].items()}


def test_hidden_positives_are_negatives_to_training(train, data, tmp_path):
    """The same run as with a manifest in which they are negatives; only the record names them."""
    hiding = train("hiding", "margin", seeds=(0, 1), hidden_positives=0.3)
    for seed in (0, 1):
        source = tmp_path / f"source_{seed}"
        source.mkdir()
        (source / "train.h5").symlink_to(data / "train.h5")
        bags = read_manifest(data / "train.csv", 500)[0]
        label = bags.label.copy()
        label[hidden_bags(label, 0.3, seed)] = 0
        write_manifest(source / "train.csv", {0: replace(bags, label=label)})
        flipped = train(f"flipped_{seed}", "margin", seeds=(seed,), source=source)
        assert_same_weights(weights(hiding, seed), weights(flipped, seed))
        assert np.array_equal(selection(hiding, seed)["bags"], selection(flipped, seed)["bags"])


def test_the_record_names_the_hidden_positives_of_the_pool(train, data):
    folder = train("run", hidden_positives=0.3)
    _, label = bag_data(data)
    with h5py.File(folder / "selection.h5") as file:
        hidden = file["seed_0/hidden"][...]
    assert set(hidden) <= set(hidden_bags(label, 0.3, 0))
    assert len(hidden)
    chosen = selection(folder)["bags"]
    assert np.isin(chosen, hidden).any(), "hidden positives can be chosen"
    assert (label[chosen[~np.isin(chosen, hidden)]] == 0).all()


def test_the_negatives_that_were_trained_on_are_recorded(train):
    folder = train("run", hidden_positives=0.3, epochs=4)
    table, chosen = trained(folder), selection(folder)
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert np.array_equal(np.sort(table["bags"]), np.sort(chosen["bags"]))
    assert np.isfinite(table["logits"]).all()
    assert (table["treatment"] == 0).all()


def test_nothing_is_recorded_where_nothing_is_doubted_or_hidden(train):
    with h5py.File(train("run") / "selection.h5") as file:
        assert sorted(file["seed_0"]) == ["bags", "epoch", "scores"]


@pytest.mark.parametrize("loss", DOUBTING)
def test_a_resumed_run_with_a_loss_that_remembers_ends_the_same(train, monkeypatch, loss):
    whole = train("whole", loss=loss, epochs=5)
    real, epochs = run_module._save, []

    def killed(path, content):
        real(path, content)
        if path.parent.name == "seeds":
            epochs.append(content["epoch"])
            if content["epoch"] == 3 and len(epochs) == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "_save", killed)
    monkeypatch.setattr(run_module, "_SAVE_EVERY", 0)
    with pytest.raises(KeyboardInterrupt):
        train("resumed", loss=loss, epochs=5)
    resumed = train("resumed", loss=loss, epochs=5)
    assert epochs == [1, 2, 3, 4, 5]
    assert_same_files(whole, resumed)


def test_the_validation_loss_is_the_cross_entropy_whatever_is_trained(train, data):
    """In the first epoch, large losses are not doubted yet, so that the weights are the same."""
    one = history(train("one", loss="large_loss_rejection", epochs=1))
    other = history(train("other", epochs=1))
    assert one.validation_loss.tolist() == other.validation_loss.tolist()
    focal = history(train("focal", loss="focal", epochs=1, learning_rate=1e-12))
    plain = history(train("plain", epochs=1, learning_rate=1e-12))
    assert focal.validation_loss.item() == pytest.approx(plain.validation_loss.item(), rel=1e-6)
    assert focal.train_loss.item() < 0.5 * plain.train_loss.item()


def test_only_unobserved_labels_are_doubted(train, data):
    folder = train(
        "run",
        loss={"name": "large_loss_correction", "share_per_epoch": 0.2, "largest_share": 0.5},
        epochs=5,
    )
    table = trained(folder)
    _, pool, _ = split_rows(data)
    assert np.isin(table["bags"], pool).all(), "positive bags are not recorded: nobody doubts them"
    doubted = (table["treatment"] == 2).mean(1)
    assert doubted[0] == 0
    assert doubted[-1] > 0.2
