"""A run depends on its inputs alone, however it was interrupted."""

import io
import itertools
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from by_position import train_run
from short_runs import (
    DETERMINISTIC,
    IDENTITY,
    assert_same_files,
    assert_same_weights,
    bag_data,
    history,
    run_settings,
    selection,
    split_rows,
    weights,
)

import weakneg
from weakneg import strategies
from weakneg.bags.manifest import read_manifest, write_manifest
from weakneg.errors import UserError
from weakneg.features.store import read_store, write_store
from weakneg.training import loop
from weakneg.training import run as run_module
from weakneg.training.loop import train_seed
from weakneg.training.run import _key


@pytest.mark.parametrize(
    ("strategy", "positives"),
    [("random", None), ("badge", None), ("svm_margin", None), ("random", {"method": "mixup"})],
)
def test_a_seed_does_not_depend_on_the_seeds_beside_it(train, strategy, positives):
    many = train("many", strategy, seeds=(0, 1, 2), positives=positives)
    alone = train("alone", strategy, seeds=(1,), positives=positives)
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

    monkeypatch.setattr(loop.batches, "load", lambda *settings: spy)
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
    "weights, every third epoch": {
        "strategy": "importance_sampling",
        "resample_every": 3,
        "warmup_epochs": 1,
        "epochs": 6,
    },
    "cosine, decay, warm-up": {
        "strategy": "kl_embedding",
        "schedule": "cosine",
        "weight_decay": 0.01,
        "warmup_epochs": 3,
        "epochs": 5,
    },
    "synthetic positives": {"positives": {"method": "mixup", "share": 0.5}, "epochs": 4},
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
            assert a.keys() == b.keys()
            assert all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


EPOCHS = 40  # so many that the run does not end before it is killed


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """The folder of a run of two seeds that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    settings = run_settings("badge", seeds=(0, 1), epochs=EPOCHS)
    train_run(data / "train.h5", data / "train.csv", folder, settings, IDENTITY)
    return folder


# `python -m weakneg`, but for states that are saved after each epoch, however short.
SAVES_EACH_EPOCH = """
import sys
from weakneg.command_line import main
from weakneg.training import run

run._SAVE_EVERY = 0
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "blow",
    [
        signal.SIGKILL,  # the out-of-memory killer, a lost node
        signal.SIGTERM,  # Slurm at a time limit, a preemption or scancel
        signal.SIGUSR1,  # Slurm with --signal, some time before the limit
    ],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    train, data, tmp_path, capsys, whole, blow
):
    """In the second of two seeds; kill -9 leaves no moment to tidy up, and no other needs one."""
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", SAVES_EACH_EPOCH, "train_run"]
    arguments = {
        "store": data / "train.h5",
        "manifest": data / "train.csv",
        "run": killed,
        "study": IDENTITY["study"],
        "class-name": IDENTITY["class"],
        "strategy": IDENTITY["strategy"],
        "code": IDENTITY["fingerprint"],
        "settings": run_settings("badge", seeds=(0, 1), epochs=EPOCHS).model_dump_json(),
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

    train("killed", "badge", seeds=(0, 1), epochs=EPOCHS)
    trained = [line for line in capsys.readouterr().err.splitlines() if "validation AP" in line]
    assert 0 < len(trained) <= EPOCHS - 2
    assert all(line.startswith("seed 1") for line in trained)
    assert (killed / "seeds/0.pt").stat().st_mtime_ns == finished
    assert_same_files(killed, whole)


def test_a_killed_run_repeats_a_second_of_training_at_most(train, monkeypatch):
    saved = []

    def save(path, content):
        if path.parent.name == "seeds":
            saved.append(content["epoch"])

    ticks = itertools.count(step=0.3)  # whenever somebody looks at the clock: an epoch, and a save
    monkeypatch.setattr(run_module, "_save", save)
    monkeypatch.setattr(run_module, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    train("run", "random", epochs=6)
    assert saved == [1, 5, 6]


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
        {"positives": {"method": "mixup"}},
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


def test_damaged_weights_to_start_from_are_one_sentence(data, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"x" * 100)
    inputs = data / "train.h5", data / "train.csv", tmp_path / "run", run_settings(), IDENTITY
    with pytest.raises(UserError, match=r"weights\.pth is truncated or damaged: delete it, so"):
        train_run(*inputs, weights=path)
