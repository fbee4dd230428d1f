"""The scores of the test bags are those of the trained models."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from by_position import build_features, draw_manifests, score_run
from short_runs import (
    IDENTITY,
    assert_same_weights,
    bag_data,
    history,
    instance_logits,
    run_settings,
    selection,
    weights,
)
from sklearn.metrics import average_precision_score

from weakneg.bags.manifest import read_manifest, write_manifest
from weakneg.config.stages import ScoreSettings
from weakneg.errors import UserError
from weakneg.features.store import read_store
from weakneg.models import bag_classifier


def score(run: Path, source: Path, output: Path, **changes) -> pd.DataFrame:
    settings = {"model": {}, "score_batch_size": 32, "draw_per_seed": False} | changes
    score_run(
        source / "test.h5",
        source / "test.csv",
        run / "model.pt",
        "bright",
        output,
        ScoreSettings.model_validate(settings),
        "cpu",
        1,
    )
    return pd.read_parquet(output)


def test_the_scores_are_the_logits_of_every_test_bag_for_every_seed(train, data, tmp_path):
    folder = train("run", seeds=(3, 1))
    scores = score(folder, data, tmp_path / "scores.parquet")
    assert scores.dtypes.astype(str).to_dict() == {
        "seed": "int64",
        "bag": "int64",
        "label": "int8",
        "score": "float64",
    }
    store = read_store(data / "test.h5")
    bags = read_manifest(data / "test.csv", 500)[0]
    images = torch.from_numpy((store.x - store.mean.item()) / store.std.item()).float()
    assert scores.seed.tolist() == [3] * len(bags) + [1] * len(bags)
    for seed in (3, 1):
        model = bag_classifier.load(run_settings().model, (1, 8, 8))
        model.load_state_dict(weights(folder, seed))
        with torch.inference_mode():
            expected = instance_logits(model, images[bags.instances]).mean(1)
        of_seed = scores[scores.seed == seed]
        assert of_seed.bag.tolist() == bags.bag.tolist()
        assert of_seed.label.tolist() == bags.label.tolist()
        np.testing.assert_allclose(of_seed.score, expected, rtol=1e-4, atol=1e-5)


def test_the_model_file_alone_says_what_it_takes_to_score_other_data(train, data):
    saved = torch.load(train("run", pooling="softmax_max") / "model.pt", weights_only=True)
    store = read_store(data / "train.h5")
    assert {key: saved[key] for key in IDENTITY} == IDENTITY
    assert saved["model"] == run_settings(pooling="softmax_max").model.model_dump()
    assert (saved["kind"], saved["parameters"]) == (store.kind, store.parameters)
    assert (saved["mean"], saved["std"]) == (store.mean.tolist(), store.std.tolist())
    assert saved["instance_shape"] == [1, 8, 8]


@pytest.mark.parametrize(
    ("name", "value"), [("class", "dark"), ("kind", "clips"), ("mean", [0.0]), ("std", [9.0])]
)
def test_a_model_of_something_else_scores_nothing(train, data, tmp_path, name, value):
    folder = train("run")
    saved = torch.load(folder / "model.pt", weights_only=True)
    torch.save(saved | {name: value}, folder / "model.pt")
    with pytest.raises(
        UserError, match=rf"model\.pt was trained for another {name} than that of .*test\.h5"
    ):
        score(folder, data, tmp_path / "scores.parquet")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pooling": "softmax_mean"}, "pooling: mean_softmax, not softmax_mean"),
        ({"pooling": "attention"}, "pooling: mean_softmax, not attention"),
        ({"name": "resnet18"}, "name: simple_cnn, not resnet18"),
    ],
)
def test_a_model_is_scored_with_the_settings_it_was_trained_with(
    train, data, tmp_path, changed, said
):
    """The weights of two poolings may look the same."""
    folder = train("run")
    with pytest.raises(UserError, match=rf"model\.pt was trained with the model setting {said}"):
        score(folder, data, tmp_path / "scores.parquet", model=changed)


def test_an_older_model_without_a_setting_has_its_default(train, data, tmp_path):
    folder = train("run")
    expected = score(folder, data, tmp_path / "scores.parquet")
    saved = torch.load(folder / "model.pt", weights_only=True)
    del saved["model"]["attention_heads"], saved["model"]["precision"]
    torch.save(saved, folder / "model.pt")
    assert score(folder, data, tmp_path / "again.parquet").equals(expected)


def test_scores_that_are_no_numbers_name_the_model(train, data, tmp_path):
    folder = train("run")
    saved = torch.load(folder / "model.pt", weights_only=True)
    saved["weights"][0]["head.bias"][1] = torch.nan
    torch.save(saved, folder / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt: seed 0 gives scores that are NaN"):
        score(folder, data, tmp_path / "scores.parquet")
    assert not (tmp_path / "scores.parquet").exists()


@pytest.fixture
def drawn(data, tmp_path) -> Path:
    """The data with a draw of its own for each of the seeds 0, 1, 2."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.h5").symlink_to(data / f"{split}.h5")
    settings = {
        "bag_size": 5,
        "label_density": "uniform",
        "draw_per_seed": True,
        "seeds": [0, 1, 2],
    }
    files = [folder / name for name in ("train.h5", "test.h5", "train.csv", "test.csv")]
    draw_manifests(*files[:2], "bright", settings, *files[2:])
    return folder


def _only(source: Path, folder: Path, draw: int) -> Path:
    """The data of `source` with one of its draws, as the only one."""
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.h5").symlink_to(source / f"{split}.h5")
        draws = read_manifest(source / f"{split}.csv", 500)
        write_manifest(folder / f"{split}.csv", {0: draws[draw]})
    return folder


def test_each_seed_trains_and_is_tested_on_its_own_draw(train, drawn, tmp_path):
    run = train("own", "margin", source=drawn, seeds=(0, 1, 2), draw_per_seed=True)
    scores = score(run, drawn, tmp_path / "own.parquet", draw_per_seed=True)
    assert read_manifest(drawn / "train.csv", 500).keys() == {0, 1, 2}
    for seed in (1, 2):
        source = _only(drawn, tmp_path / f"data{seed}", seed)
        alone = train(f"alone{seed}", "margin", source=source, seeds=(seed,))
        assert_same_weights(weights(run, seed), weights(alone, seed))
        assert np.array_equal(selection(run, seed)["bags"], selection(alone, seed)["bags"])
        expected = score(alone, source, tmp_path / f"{seed}.parquet")
        assert scores[scores.seed == seed].reset_index(drop=True).equals(expected)


def test_a_draw_that_the_manifest_lacks_is_named(train, drawn):
    with pytest.raises(UserError, match=r"train\.csv has no draw 7: delete it"):
        train("run", source=drawn, seeds=(0, 7), draw_per_seed=True)


def test_bags_of_different_sizes_are_trained_and_scored(train, data, tmp_path):
    """A manifest of one's own; how far the bags are padded changes nothing."""
    folder = tmp_path / "sizes"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        (folder / f"{split}.h5").symlink_to(data / f"{split}.h5")
        bags = read_manifest(data / f"{split}.csv", 500)[0]
        short = bags.instances.copy()
        short[np.arange(5) >= rng.integers(1, 6, len(bags))[:, None]] = -1
        write_manifest(folder / f"{split}.csv", {0: replace(bags, instances=short)})
    run = train("run", "badge", source=folder)
    scores = score(run, folder, tmp_path / "scores.parquet")
    images = bag_data(folder, "test")[0]
    model = bag_classifier.load(run_settings().model, (1, 8, 8))
    model.load_state_dict(weights(run))
    for row in range(0, len(scores), 7):
        x, mask = images.input(torch.tensor([row]))
        with torch.inference_mode():
            logit = instance_logits(model, x[:, mask[0]]).mean().item()
        assert scores.score[row] == pytest.approx(logit, rel=1e-4, abs=1e-5)


def test_it_learns_to_read_digits(train, tmp_path):
    source = tmp_path / "digits"
    source.mkdir()
    files = [source / name for name in ("train.h5", "test.h5", "train.csv", "test.csv")]
    build_features("digits", None, *files[:2], tmp_path / "problems.csv")
    settings = {"bag_size": 5, "label_density": "uniform", "draw_per_seed": False}
    draw_manifests(*files[:2], "0", settings, *files[2:])
    run = train("run", "random", source=source, epochs=15, validation_fraction=0.1)
    scores = score(run, source, tmp_path / "scores.parquet")
    assert scores.label.mean() < 0.25
    assert average_precision_score(scores.label, scores.score) > 0.8
    assert history(run).validation_ap.max() > 0.8
    assert history(run).train_loss.iloc[-1] < 0.7 * history(run).train_loss.iloc[0]
