"""Training: what a run gives depends on its inputs alone, and is what the settings say."""

import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from by_position import build_features, draw_manifests, score_run, train_run
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, recall_score, roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits

import weakneg
from weakneg import strategies
from weakneg.bags.draw import draw as draw_bags
from weakneg.bags.manifest import read_manifest, write_manifest
from weakneg.bags.split import split_validation
from weakneg.config.stages import RunSettings, ScoreSettings
from weakneg.errors import UserError
from weakneg.features.from_files import channel_statistics, one_hot
from weakneg.features.store import Store, read_store, write_store
from weakneg.jobs.device import prepare
from weakneg.models import bag_classifier
from weakneg.training import loop
from weakneg.training.data import BagData, score_bags
from weakneg.training.loop import random_generator, train_seed
from weakneg.training.ranking import best_thresholds, ranking_metrics
from weakneg.training.run import _key

DETERMINISTIC = ("model.pt", "history.parquet", "selection.h5", "run.json")
IDENTITY = {"study": "made_up", "class": "bright", "strategy": "mine", "fingerprint": "f00d"}
CPU = torch.device("cpu")


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


def run_settings(strategy="random", *, seeds=(0,), options=None, draw_per_seed=False, **sections):
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
            "options": options or {},
            "seeds": list(seeds),
            "draw_per_seed": draw_per_seed,
        }
    )


@pytest.fixture
def train(data, tmp_path):
    """train(name, strategy, settings...) -> the folder of a run, trained on the CPU."""

    def train(name="run", *args, identity=IDENTITY, source=data, **kwargs) -> Path:
        settings = run_settings(*args, **kwargs)
        inputs = (source / "train.h5", source / "train.csv")
        train_run(*inputs, tmp_path / name, settings, identity, "cpu", 1)
        return tmp_path / name

    return train


def history(folder: Path, seed: int | None = None) -> pd.DataFrame:
    table = pd.read_parquet(folder / "history.parquet")
    if seed is not None:
        table = table[table.seed == seed].drop(columns="seed").reset_index(drop=True)
    return table


def weights(folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)["weights"][seed]


def selection(folder: Path, seed: int = 0) -> dict[str, np.ndarray]:
    with h5py.File(folder / "selection.h5") as file:
        return {name: values[...] for name, values in file[f"seed_{seed}"].items()}


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


def test_no_group_is_trained_and_validated_on(data):
    store = read_store(data / "train.h5")
    bags = read_manifest(data / "train.csv", len(store.x))[0]
    group = np.arange(len(bags)) // 7
    grouped = BagData(store, replace(bags, group=group), CPU)
    state = train_seed(grouped, run_settings("full", epochs=1), 0, None, lambda state: None)
    train, validation = split_validation(bags.label, 0.3, 0, group)
    assert not set(group[train]) & set(group[validation])
    (selected,) = state["selections"]
    assert set(selected["bags"].tolist()) <= set(train.tolist())
    assert (state["n_positive"], state["n_pool"]) == (
        bags.label[train].sum(),
        (bags.label[train] == 0).sum(),
    )


def split_rows(source: Path, seed=0, fraction=0.3):
    """Rows of the positive and negative training bags, and of the validation bags."""
    label = bag_data(source)[1]
    train, validation = split_validation(label, fraction, seed)
    return train[label[train] == 1], train[label[train] == 0], validation


def instance_logits(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(B, n) logits of the instances of bags x (B, n, *shape)."""
    scores = model.head(model.encoder(x.flatten(0, 1))).unflatten(0, x.shape[:2])
    return scores[..., 1] - scores[..., 0]


# ----------------------------------------------------------------------------- metrics
ranked_bags = st.lists(
    st.tuples(st.booleans(), st.sampled_from([-1e30, -1.0, 0.0, 0.1, 0.25, 3.0, 1e30])),
    min_size=2,
    max_size=30,
).filter(lambda bags: len({label for label, _ in bags}) == 2)


@hypothesis_settings(max_examples=200, deadline=None)
@given(ranked_bags)
def test_no_other_threshold_has_a_better_f1_or_g_mean(bags):
    label, score = np.array([b[0] for b in bags], dtype=int), np.array([b[1] for b in bags])

    def g_mean(label, called):
        recalls = recall_score(label, called, average=None, labels=[0, 1])
        return math.sqrt(recalls[0] * recalls[1])

    for name, measure in {"f1": f1_score, "g_mean": g_mean}.items():
        threshold = best_thresholds(label, score)[name]
        values = {v: round(measure(label, score >= v), 12) for v in np.unique(score)}
        assert values[threshold] == pytest.approx(max(values.values()))
        higher = [value for other, value in values.items() if other > threshold]
        assert all(value < values[threshold] for value in higher)


@hypothesis_settings(max_examples=200, deadline=None)
@given(ranked_bags)
def test_ranking_metrics_are_those_of_scikit_learn(bags):
    label, score = np.array([b[0] for b in bags], dtype=int), np.array([b[1] for b in bags])
    ap, roc_auc = ranking_metrics(label, score)
    assert ap == pytest.approx(average_precision_score(label, score), abs=1e-12)
    assert roc_auc == pytest.approx(roc_auc_score(label, score), abs=1e-12)


# ----------------------------------------------------------------------------- seeds, bags, names
@pytest.mark.parametrize("strategy", ["random", "badge", "svm_margin"])
def test_a_seed_does_not_depend_on_the_seeds_beside_it(train, strategy):
    many, alone = train("many", strategy, seeds=(0, 1, 2)), train("alone", strategy, seeds=(1,))
    assert_same_weights(weights(many, 1), weights(alone, 1))
    assert history(many, 1).equals(history(alone, 1))
    a, b = selection(many, 1), selection(alone, 1)
    assert all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)
    assert not history(many, 1).equals(history(many, 2))


def test_a_seed_added_later_trains_alone_and_gives_the_same_files(train, capsys):
    folder = train("grown", "margin", seeds=(0, 1))
    before = {seed: (folder / f"seeds/{seed}.pt").stat().st_mtime_ns for seed in (0, 1)}
    capsys.readouterr()
    train("grown", "margin", seeds=(0, 1, 2))
    trained = [line.split("  ")[0] for line in capsys.readouterr().err.splitlines() if "AP" in line]
    assert trained == ["seed 2"] * 3
    assert before == {seed: (folder / f"seeds/{seed}.pt").stat().st_mtime_ns for seed in (0, 1)}
    assert_same_files(folder, train("fresh", "margin", seeds=(0, 1, 2)))


def test_a_manifest_read_back_gives_the_same_run(train, data, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "train.h5").symlink_to(data / "train.h5")
    write_manifest(copy / "train.csv", read_manifest(data / "train.csv", 500))
    assert (copy / "train.csv").read_bytes() == (data / "train.csv").read_bytes()
    assert_same_files(train("first", "badge"), train("second", "badge", source=copy))


def test_every_strategy_starts_from_the_same_weights(train):
    """A learning rate that moves nothing leaves the weights of the start."""
    start = weights(train("random", "random", epochs=1, learning_rate=1e-30, seeds=(0, 1)))
    for strategy in strategies.names():
        folder = train(strategy, strategy, epochs=1, learning_rate=1e-30)
        assert_same_weights(weights(folder), start)
    other = weights(train("random", "random", epochs=1, learning_rate=1e-30, seeds=(0, 1)), 1)
    assert not torch.equal(start["head.weight"], other["head.weight"])


def test_seeds_and_epochs_choose_independently(train, data):
    """Else intervals over seeds would be too narrow."""
    folder = train("run", "random", seeds=(0, 1))
    places = []
    for seed in (0, 1):
        pool = split_rows(data, seed)[1]
        places += [tuple(np.searchsorted(pool, bags)) for bags in selection(folder, seed)["bags"]]
    assert len(set(places)) == 6


def test_seeds_and_epochs_draw_anew(train, monkeypatch):
    """Mixtures and masks by a seed of theirs, dropout and the like by PyTorch's."""
    seeds = []
    make = loop.batches.load(None)

    def spy(data, rows, batch_size, augmentation, seed):
        seeds.extend([seed, torch.initial_seed()])
        return make(data, rows, batch_size, augmentation, seed)

    monkeypatch.setattr(loop.batches, "load", lambda augmentation: spy)
    train("run", "random", seeds=(0, 1), epochs=3)
    assert len(set(seeds)) == len(seeds) == 12


def test_margin_entropy_and_least_confidence_are_one_strategy_for_two_classes(train):
    folders = [train(name, name, epochs=4) for name in ("margin", "entropy", "least_confidence")]
    for folder in folders[1:]:
        assert_same_files(folder, folders[0], ("model.pt", "history.parquet", "selection.h5"))
    random = weights(train("random", "random", epochs=4))
    assert not torch.equal(random["head.weight"], weights(folders[0])["head.weight"])


# ----------------------------------------------------------------------------- interrupted runs
CASES = {
    "random": {},
    "badge, every third epoch": {"strategy": "badge", "resample_every": 3, "epochs": 6},
    "cosine, decay, warm-up": {
        "strategy": "kl_embedding",
        "schedule": "cosine",
        "weight_decay": 0.01,
        "warmup_epochs": 3,
        "epochs": 5,
    },
    "patience": {"strategy": "margin", "patience": 2, "epochs": 30, "learning_rate": 0.01},
}


@pytest.mark.parametrize("case", CASES)
def test_a_seed_interrupted_after_any_epoch_goes_on_as_if_nothing_had_been(data, tmp_path, case):
    settings = run_settings(**CASES[case])
    bags, _ = bag_data(data)
    files = []
    whole = train_seed(
        bags,
        settings,
        0,
        None,
        lambda state: (
            files.append(tmp_path / f"{state['epoch']}.pt") or torch.save(state, files[-1])
        ),
    )
    assert len(files) >= 3
    for file in files:
        state = torch.load(file, weights_only=True)
        again = train_seed(bags, settings, 0, state, lambda state: None)
        assert again["history"] == whole["history"]
        assert_same_weights(again["best_model"], whole["best_model"])
        for a, b in zip(again["selections"], whole["selections"], strict=True):
            assert a["epoch"] == b["epoch"]
            assert torch.equal(a["bags"], b["bags"])


@pytest.mark.parametrize(
    "blow",
    [
        signal.SIGKILL,  # the out-of-memory killer, a lost node
        signal.SIGTERM,  # Slurm at a time limit, a preemption or scancel
        signal.SIGUSR1,  # Slurm with --signal, some time before the limit
    ],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(train, data, tmp_path, blow):
    """In the second of two seeds; kill -9 leaves no moment to tidy up, and no other needs one."""
    epochs = 40
    whole = train("whole", "badge", seeds=(0, 1), epochs=epochs)
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "weakneg", "train_run"]
    arguments = {
        "store": data / "train.h5",
        "manifest": data / "train.csv",
        "run": killed,
        "study": IDENTITY["study"],
        "class-name": IDENTITY["class"],
        "strategy": IDENTITY["strategy"],
        "code": IDENTITY["fingerprint"],
        "settings": run_settings("badge", seeds=(0, 1), epochs=epochs).model_dump_json(),
        "device": "cpu",
        "threads": 1,
    }
    for name, value in arguments.items():
        command += [f"--{name}", str(value)]
    environment = os.environ | {"PYTHONPATH": str(Path(weakneg.__file__).parents[1])}

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stderr:
            if line.startswith("seed 1  epoch 2/"):
                process.send_signal(blow)
                break
    assert process.returncode == -blow, "it ended before it was killed"
    assert not (killed / "run.json").exists()
    finished = (killed / "seeds/0.pt").stat().st_mtime_ns

    rerun = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=True)
    trained = [line for line in rerun.stderr.splitlines() if "validation AP" in line]
    assert 0 < len(trained) <= epochs - 2
    assert all(line.startswith("seed 1") for line in trained)
    assert (killed / "seeds/0.pt").stat().st_mtime_ns == finished
    assert_same_files(killed, whole)


def _changed(data: Path, folder: Path, change: str) -> Path:
    """A copy of the training files with one thing changed."""
    folder.mkdir()
    store = read_store(data / "train.h5")
    draws = read_manifest(data / "train.csv", len(store.x))
    if change == "one pixel":
        store.x[3, 0, 2, 2] ^= 1
    if change == "statistics":
        store = replace(store, std=store.std * 1.001)
    if change == "one instance":
        unused = np.setdiff1d(np.arange(500), draws[0].instances)
        instances = draws[0].instances.copy()
        instances[4, 2] = unused[0] if len(unused) else -1
        draws = {0: replace(draws[0], instances=instances)}
    if change == "one label":
        label = draws[0].label.copy()
        label[np.flatnonzero(label == 0)[0]] = 1
        draws = {0: replace(draws[0], label=label)}
    write_store(folder / "train.h5", store)
    write_manifest(folder / "train.csv", draws)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 2e-3},
        {"epochs": 4},
        {"negatives_per_positive": 1.0},
        {"resample_every": 2},
        {"pooling": "softmax_mean"},
        {"strategy": "gradient_embedding", "options": {"loss_label": "known"}},
        {"strategy": "margin"},
        {"identity": IDENTITY | {"fingerprint": "beef"}},
        "one pixel",
        "statistics",
        "one instance",
        "one label",
    ],
    ids=str,
)
def test_whatever_decides_the_numbers_starts_a_run_anew(train, data, tmp_path, capsys, change):
    base = {"strategy": "gradient_embedding", "options": {"loss_label": "hypothesised"}}
    folder = train("run", **base)
    if isinstance(change, str):
        change = {"source": _changed(data, tmp_path / "data", change)}
    capsys.readouterr()
    if "strategy" in change and "options" not in change:
        change["options"] = {}
    train("run", **base | change)
    assert "continues" not in capsys.readouterr().err
    assert_same_files(folder, train("fresh", **base | change))


def test_other_groups_start_a_run_anew(data):
    """They decide what is held out for validation; only manifests of clips have them."""
    bags = read_manifest(data / "train.csv", 500)[0]
    groups = (None, np.zeros(len(bags), dtype=int), np.arange(len(bags)))
    keys = {_key(run_settings(), 0, "", "", replace(bags, group=group)) for group in groups}
    assert len(keys) == 3


def test_the_same_run_again_trains_nothing(train, capsys):
    folder = train("run", "margin")
    before = {name: (folder / name).read_bytes() for name in (*DETERMINISTIC, "timing.parquet")}
    capsys.readouterr()
    train("run", "margin")
    assert capsys.readouterr().err == "seed 0  continues after epoch 3\n"
    assert before == {name: (folder / name).read_bytes() for name in before}


def _saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("damage", ["cut short", "empty", "text", "list", "of something else"])
def test_a_damaged_state_starts_anew_and_says_so(train, capsys, damage):
    folder = train("run", "margin")
    whole = {name: (folder / name).read_bytes() for name in DETERMINISTIC}
    state = folder / "seeds/0.pt"
    contents = {
        "cut short": state.read_bytes()[:-500],
        "empty": b"",
        "text": b"hello",
        "list": _saved([1]),
        "of something else": (folder / "model.pt").read_bytes(),
    }
    state.write_bytes(contents[damage])
    capsys.readouterr()
    train("run", "margin")
    said = capsys.readouterr().err
    assert said.count("validation AP") == 3
    assert len(said.splitlines()) <= 4
    if damage in ("cut short", "empty", "text"):
        assert re.search(
            rf"^{re.escape(str(state))} cannot be read .*this seed starts over$", said, re.M
        )
    assert whole == {name: (folder / name).read_bytes() for name in whole}


# ----------------------------------------------------------------------------- best epoch
def test_the_weights_kept_are_those_of_the_best_epoch(train, data):
    folder = train("run", seeds=range(4), epochs=8, learning_rate=0.01)
    bags, label = bag_data(data)
    last = 0
    for seed in range(4):
        table = history(folder, seed)
        best = table[table.best]
        assert best.epoch.tolist() == [table.epoch[table.validation_ap.argmax()]]
        last += best.epoch.item() == 8
        model = bag_classifier.load(run_settings().model, (1, 8, 8))
        model.load_state_dict(weights(folder, seed))
        rows = split_rows(data, seed)[2]
        logits = score_bags(model, bags, bags.rows(rows), 7).logits.double().numpy()
        kept = json.loads((folder / "run.json").read_text())["thresholds"][str(seed)]
        assert kept == best_thresholds(label[rows], logits)
        ap = average_precision_score(label[rows], logits)
        roc_auc = roc_auc_score(label[rows], logits)
        loss = np.mean(np.logaddexp(0, np.where(label[rows] == 1, -logits, logits)))
        assert ap == pytest.approx(best.validation_ap.item(), abs=1e-12)
        assert roc_auc == pytest.approx(best.validation_roc_auc.item(), abs=1e-12)
        assert loss == pytest.approx(best.validation_loss.item(), rel=1e-5)
    assert last < 4, "this shows nothing if the best epoch is always the last"


def _pretend(monkeypatch, aps):
    """Let the validation of epoch 1, 2, ... give the average precision aps[0], aps[1], ..."""
    epochs = iter(aps)
    monkeypatch.setattr(loop, "ranking_metrics", lambda label, score: (next(epochs), 0.5))


def test_of_equal_epochs_the_earlier_is_kept(train, monkeypatch):
    _pretend(monkeypatch, [0.5, 0.7, 0.6, 0.7, 0.7])
    folder = train("run", epochs=5)
    assert history(folder).best.tolist() == [False, True, False, False, False]
    _pretend(monkeypatch, [0.5, 0.7])
    assert_same_weights(weights(folder), weights(train("two", epochs=2)))


@pytest.mark.parametrize(
    ("patience", "aps", "epochs"),
    [
        (3, [0.5, 0.7, 0.7, 0.6, 0.7, 0.9, 0.9], 5),
        (1, [0.5, 0.4, 0.9], 2),
        (1, [0.5, 0.6, 0.7, 0.7], 4),
        (2, [0.5, 0.4, 0.6, 0.5, 0.7, 0.1, 0.1, 0.9], 7),
        (None, [0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1], 8),
    ],
)
def test_patience_counts_the_epochs_since_the_best(train, monkeypatch, patience, aps, epochs):
    _pretend(monkeypatch, aps + [0.0] * 8)
    table = history(train("run", epochs=8, patience=patience))
    assert len(table) == epochs
    assert table.epoch[table.best].item() == np.argmax(aps[:epochs]) + 1


def test_patience_begins_when_the_strategy_does(train, monkeypatch):
    _pretend(monkeypatch, [0.9] + [0.0] * 8)
    folder = train("run", "margin", epochs=8, patience=2, warmup_epochs=3)
    assert history(folder).epoch.tolist() == [1, 2, 3, 4, 5]


def test_a_strategy_that_needs_more_memory_than_there_is_is_one_sentence(train, monkeypatch):
    def too_much(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")

    monkeypatch.setattr("weakneg.strategies.badge.select", too_much)
    with pytest.raises(UserError, match=r"seed 0, epoch 1: not enough memory on cpu for badge"):
        train("run", "badge")


# ----------------------------------------------------------------------------- which bags
def test_resampling_every_third_epoch(train):
    folder = train("run", "margin", resample_every=3, epochs=8)
    assert selection(folder)["epoch"].tolist() == [1, 4, 7]
    assert history(folder).epoch[history(folder).resampled].tolist() == [1, 4, 7]
    assert selection(folder)["bags"].shape == (3, 28)


def test_warm_up_epochs_train_on_random_bags(train):
    """Those that the strategy `random` takes; the first scored selection follows them."""
    warm = train("warm", "margin", warmup_epochs=2, resample_every=3, epochs=7)
    random = train("random", "random", epochs=7)
    found, expected = selection(warm), selection(random)
    assert found["epoch"].tolist() == [1, 2, 3, 6]
    assert np.array_equal(found["bags"][:2], expected["bags"][:2])
    assert np.isnan(found["scores"][:2]).all()
    assert np.isfinite(found["scores"][2:]).all()
    scoring = pd.read_parquet(warm / "timing.parquet").seconds_scoring
    assert (scoring > 0).tolist() == [False, False, True, False, False, True, False]
    same = ["epoch", "train_loss", "validation_loss", "n_negatives"]
    assert history(warm)[same][:2].equals(history(random)[same][:2])


def test_all_strategies_warm_up_alike(train):
    """`full`, too, which afterwards has no share of the pool to choose from, but all of it."""
    options = {"warmup_epochs": 2, "candidate_fraction": 0.6}
    full, margin = (history(train(name, name, **options)) for name in ("full", "margin"))
    same = ["epoch", "train_loss", "validation_loss", "n_negatives"]
    assert full[same][:2].equals(margin[same][:2])
    assert full.n_negatives.tolist() == [28, 28, 56]


@pytest.mark.parametrize(("ratio", "budget"), [(2.0, 28), (0.5, 7), (0.25, 4), (50.0, 56)])
def test_the_budget_is_the_ratio_times_the_positives_clamped_to_the_pool(
    train, data, ratio, budget
):
    positives, pool, _ = split_rows(data)
    assert (len(positives), len(pool)) == (14, 56)  # what the budgets above go by
    folder = train("run", "margin", negatives_per_positive=ratio)
    table = history(folder)
    assert table.n_negatives.tolist() == [budget] * 3
    assert table.bags_trained.tolist() == [(14 + budget) * epoch for epoch in (1, 2, 3)]
    assert selection(folder)["bags"].shape == (3, budget)
    record = json.loads((folder / "run.json").read_text())
    assert (record["n_positive"], record["n_pool"]) == ({"0": 14}, {"0": 56})
    assert record["budget"] == {"0": budget}


def test_a_budget_is_never_less_than_one_bag(train):
    folder = train("run", "margin", negatives_per_positive=1e-3, candidate_fraction=1e-3)
    assert history(folder).n_negatives.tolist() == [1] * 3


def test_full_trains_on_the_whole_pool_whatever_the_budget(train, data):
    folder = train("run", "full", negatives_per_positive=0.5)
    assert np.array_equal(selection(folder)["bags"], np.tile(split_rows(data)[1], (3, 1)))
    assert history(folder).n_negatives.tolist() == [56] * 3
    assert json.loads((folder / "run.json").read_text())["budget"] == {"0": 56}


@pytest.mark.parametrize("strategy", strategies.names())
def test_training_sees_each_positive_and_each_chosen_bag_once_and_no_validation_bag(
    train, data, monkeypatch, strategy
):
    seen = []
    read = BagData.inputs

    def spy(self, batches):
        if torch.is_grad_enabled():  # scoring and validation need no gradient
            seen.extend(torch.cat(batches).tolist())
        return read(self, batches)

    monkeypatch.setattr(BagData, "inputs", spy)
    folder = train("run", strategy, epochs=2, negatives_per_positive=1.0)
    positives, pool, validation = split_rows(data)
    chosen = selection(folder)["bags"]
    n = len(positives) + chosen.shape[1]
    assert len(seen) == 2 * n
    for epoch in range(2):
        assert set(chosen[epoch]) <= set(pool)
        trained = seen[epoch * n : (epoch + 1) * n]
        assert sorted(trained) == sorted([*positives, *chosen[epoch]])
        assert not set(trained) & set(validation)


@pytest.mark.parametrize("strategy", strategies.names())
def test_only_strategies_that_look_at_scores_pay_for_them(train, strategy):
    timing = pd.read_parquet(train("run", strategy) / "timing.parquet")
    if strategy in ("full", "random"):
        assert (timing.seconds_scoring == 0).all()
    else:
        assert (timing.seconds_scoring > 0).all()
    for column in ("selecting", "training", "evaluating"):
        assert (timing[f"seconds_{column}"] > 0).all()
    assert (timing.peak_memory_bytes > 1e6).all()


def test_the_time_of_scoring_is_not_counted_twice(train, monkeypatch):
    def slow(*args, **kwargs):
        time.sleep(0.3)
        return score_bags(*args, **kwargs)

    monkeypatch.setattr(loop, "score_bags", slow)
    timing = pd.read_parquet(train("run", "margin", epochs=1) / "timing.parquet")
    assert timing.seconds_scoring.item() >= 0.3 > timing.seconds_selecting.item()


def test_scores_of_the_selection_are_those_of_the_model_before_the_epoch(train, data):
    folder = train("run", "margin", epochs=1, negatives_per_positive=50.0)
    start = weights(train("start", "margin", epochs=1, learning_rate=1e-30))
    model = bag_classifier.load(run_settings().model, (1, 8, 8))
    model.load_state_dict(start)
    bags, _ = bag_data(data)
    chosen = selection(folder)
    logits = score_bags(model, bags, bags.rows(chosen["bags"][0]), 512).logits
    np.testing.assert_allclose(chosen["scores"][0], -logits.abs(), rtol=1e-4, atol=1e-6)
    assert (np.diff(chosen["scores"][0]) <= 0).all(), "in order of choice"


# ----------------------------------------------------------------------------- the optimisation
def test_an_epoch_is_adam_on_the_cross_entropy_of_the_bags_in_random_order(
    train, data, monkeypatch
):
    """Against a plain loop, with nothing of the training core but the order of the bags."""
    _pretend(monkeypatch, [0.1, 0.2, 0.1])  # the last epoch is the one whose weights are kept
    options = {"schedule": "cosine", "weight_decay": 0.01, "batch_size": 8, "epochs": 2}
    options["betas"] = [0.8, 0.95]
    folder = train("run", "random", learning_rate=3e-3, **options)
    model = bag_classifier.load(run_settings().model, (1, 8, 8))
    model.load_state_dict(weights(train("start", epochs=1, learning_rate=1e-30)))

    store = read_store(data / "train.h5")
    manifest = read_manifest(data / "train.csv", 500)[0]
    images = torch.from_numpy((store.x - store.mean.item()) / store.std.item()).float()
    label = torch.from_numpy(manifest.label).float()
    adam = torch.optim.Adam(model.parameters(), weight_decay=0.01, betas=options["betas"])
    positives = split_rows(data)[0]
    losses = []
    for epoch, chosen in enumerate(selection(folder)["bags"], start=1):
        rows = np.concatenate([positives, chosen])
        order = torch.randperm(len(rows), generator=random_generator(0, "order", epoch))
        for group in adam.param_groups:
            group["lr"] = 3e-3 * (1 + math.cos(math.pi * (epoch - 1) / 2)) / 2
        total = 0.0
        for batch in np.array_split(rows[order], range(8, len(rows), 8)):
            d = instance_logits(model, images[manifest.instances[batch]])
            loss = binary_cross_entropy_with_logits(d.mean(1), label[batch])
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(batch)
        losses.append(total / len(rows))

    assert history(folder).train_loss.tolist() == pytest.approx(losses, rel=1e-4)
    for name, value in weights(folder).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_the_learning_rate_stays_or_falls_along_a_half_cosine(train):
    constant = history(train("constant", epochs=4, learning_rate=0.002))
    assert constant.learning_rate.tolist() == [0.002] * 4
    cosine = history(train("cosine", epochs=4, learning_rate=0.002, schedule="cosine"))
    half = math.sqrt(0.5)
    expected = [0.002, 0.001 * (1 + half), 0.001, 0.001 * (1 - half)]
    assert cosine.learning_rate.tolist() == pytest.approx(expected)


def test_the_learning_rate_rises_over_the_first_share_of_all_steps(train, monkeypatch):
    """Step by step, and with the schedule on top."""
    rates = []
    step = loop.Adam.step
    monkeypatch.setattr(
        loop.Adam, "step", lambda self, loss: rates.append(self.learning_rate) or step(self, loss)
    )
    options = {"epochs": 4, "learning_rate": 0.002, "batch_size": 8, "schedule": "cosine"}
    train("plain", **options)
    plain, rates[:] = list(rates), []
    train("rising", **options, rate_warmup=0.4)
    n = len(rates)
    assert n == len(plain) > 20
    for number, (rate, whole) in enumerate(zip(rates, plain, strict=True), start=1):
        assert rate == pytest.approx(whole * min(1, number / n / 0.4))


def test_a_training_that_diverges_is_one_sentence_that_says_where(train, monkeypatch):
    where = (
        r"seed 0, epoch 2, batch 3 of \d+, learning rate 0\.001: the loss is nan, .*learning_rate\."
    )
    steps = []
    step = loop.Adam.step

    def break_the_weights(self, loss):
        step(self, loss)
        steps.append(loss)
        if len(steps) == epoch + 2:
            with torch.no_grad():
                self.parameters[0].fill_(math.nan)

    epoch = 10**9
    monkeypatch.setattr(loop.Adam, "step", break_the_weights)
    train("whole", "random", epochs=1, batch_size=8)
    epoch, steps[:] = len(steps), []
    with pytest.raises(UserError, match=f"^{where}$"):
        train("run", "random", batch_size=8)


def test_a_validation_that_diverges_is_one_sentence(train):
    with pytest.raises(UserError, match=r"^seed 0, epoch 1.* learning_rate\.$") as error:
        train("run", "margin", learning_rate=1e30)
    assert "\n" not in str(error.value)


def test_weighted_batches_draw_positive_and_negative_bags_alike(train, data, monkeypatch):
    """As many draws as there are bags, of both kinds in equal parts, whatever their numbers."""
    drawn = _trained_rows(monkeypatch)
    options = {"epochs": 40, "negatives_per_positive": 5.0, "batch_sampling": "weighted"}
    folder = train("run", "random", **options)
    positives, _, _ = split_rows(data)
    for rows, chosen in zip(drawn, selection(folder)["bags"], strict=True):
        assert len(rows) == len(positives) + len(chosen)
        assert set(rows) <= {*positives, *chosen}
    rows = np.concatenate(drawn)
    assert np.isin(rows, positives).mean() == pytest.approx(0.5, abs=0.03)
    counts = np.bincount(rows, minlength=100)[positives]
    assert counts.min() > 0.6 * counts.mean(), "no bag is preferred among its kind"


def _trained_rows(monkeypatch) -> list[np.ndarray]:
    """A list that gets the rows of every epoch that is trained after this call."""
    drawn = []
    in_order = loop._SeedTraining._in_order

    def spy(self, epoch, rows):
        rows = in_order(self, epoch, rows)
        drawn.append(rows.numpy())
        return rows

    monkeypatch.setattr(loop._SeedTraining, "_in_order", spy)
    return drawn


@pytest.mark.parametrize(
    ("fraction", "candidates"), [(0.5, lambda k, n: round(n / 2)), (0.01, lambda k, n: k)]
)
def test_a_share_of_the_pool_is_scored_and_chosen_from(
    train, data, monkeypatch, fraction, candidates
):
    scored = []
    score = loop.score_bags

    def spy(model, bags, rows, *args, **kwargs):
        scored.append(rows.numpy())
        return score(model, bags, rows, *args, **kwargs)

    monkeypatch.setattr(loop, "score_bags", spy)
    options = {"epochs": 4, "negatives_per_positive": 1.0}
    folder = train("run", "margin", candidate_fraction=fraction, **options)
    positives, pool, validation = split_rows(data)
    scored = [rows for rows in scored if not np.array_equal(rows, validation)]
    chosen = selection(folder)["bags"]
    assert len(scored) == len(chosen) == 4
    for rows, bags in zip(scored, chosen, strict=True):
        assert len(set(rows)) == len(rows) == candidates(len(positives), len(pool))
        assert set(bags) <= set(rows) <= set(pool)
    assert len({tuple(sorted(rows)) for rows in scored}) == 4, "drawn anew for each selection"


def test_full_is_the_whole_pool_whatever_share_is_scored(train, data):
    chosen = selection(train("run", "full", candidate_fraction=0.1))["bags"]
    for bags in chosen:
        assert sorted(bags) == sorted(split_rows(data)[1])


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert prepare("auto", 1) == CPU
    for device in ("cuda", "cuda:1"):
        with pytest.raises(UserError, match=f"device: {device} was requested.*use cpu or auto"):
            prepare(device, 1)
    with pytest.raises(
        UserError, match=r"device: 'gpu' is not a device; use auto, cpu, cuda or cuda:N"
    ):
        prepare("gpu", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"device: cuda:2 does not exist.*cuda:0 to cuda:1"):
        prepare("cuda:2", 1)


def test_a_job_uses_the_threads_that_it_was_given():
    try:
        for threads in (2, 1):
            prepare("cpu", threads)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)


# ----------------------------------------------------------------------------- the test set
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
