"""The paper's experiment on a small scale: PSLA's network with all of its augmentation."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from weakneg.bags.draw import Bags
from weakneg.config.stages import RunSettings
from weakneg.features.store import Store
from weakneg.jobs.device import prepare
from weakneg.training.data import BagData
from weakneg.training.loop import train_seed

SMALL = """\
title: PSLA on a small scale
extends: {study}
audio: {{waveform: true, frames: 96}}
model: {{name: {model}}}
training:
  epochs: 1
  batch_size: 16
  validation_fraction: 0.1
  rate_warmup: 0.3
  batch_sampling: weighted
augmentation: {{frequency_mask: 24, time_mask: 20}}
sampling: {{candidate_fraction: 0.1, negatives_per_positive: 1.0}}
classes: [{label}]
strategies: [random, badge]
seeds: 1
"""
ESC10 = Path(os.environ.get("WEAKNEG_DATA", "")) / "esc10"


@pytest.mark.parametrize(
    ("study", "model", "label"),
    [
        ("soundscapes", "efficientnet_b0", "Siren"),
        pytest.param(
            *("esc10", "efficientnet_b2", "Rooster"),
            marks=pytest.mark.skipif(
                not ESC10.is_dir(), reason="WEAKNEG_DATA names no folder with esc10"
            ),
        ),
    ],
)
def test_the_study_of_the_paper_runs_from_sound_to_metrics(finished, study, model, label):
    name = f"psla_{study}"
    mine = finished.folder / f"{name}.yaml"
    mine.write_text(SMALL.format(study=study, model=model, label=label))
    asked = ("--config", f"studies={mine.name}", "--", f"results/{name}/metrics.csv")
    finished.run(*asked)
    assert "Nothing to be done" in finished.run(*asked)

    results = finished.folder / "results" / name
    metrics = pd.read_csv(results / "metrics.csv")
    assert sorted(metrics.strategy) == ["badge", "random"]
    assert metrics.ap.between(0, 1).all()
    for run in (results / "runs").glob("*/*"):
        history = pd.read_parquet(run / "history.parquet")
        assert np.isfinite(history.train_loss).all()
        assert history.learning_rate.iloc[-1] == pytest.approx(2e-3)
        saved = torch.load(run / "model.pt", weights_only=True)
        assert saved["model"]["name"] == model
        assert saved["instance_shape"] == [96, 64]

    clip = next((finished.folder / "resources/soundscapes/audio/test").glob("*.flac"))
    scores = finished.folder / f"{name}.csv"
    runs = sorted(map(str, (results / "runs").glob("*/*")))
    finished.python("predict", str(clip), "--output", str(scores), "--models", *runs)
    assert pd.read_csv(scores).score.between(0, 1).all()


def store(n: int = 40) -> Store:
    """Noise whose level says its class, with waveforms."""
    rng = np.random.default_rng(0)
    y = (np.arange(n) < 12).astype(np.uint8)[:, None]
    waveform = rng.normal(0, 500 + 2000.0 * y, (n, 59 * 160 + 400)).clip(-32768, 32767)
    return Store(
        x=(rng.normal(-6, 2, (n, 60, 32)) + 2.0 * y[:, :, None]).astype(np.float16),
        id=np.arange(n),
        y=y,
        class_names=("loud",),
        mean=np.array([-6.0]),
        std=np.array([2.0]),
        kind="spectrograms",
        parameters={
            "sample_rate": 16000,
            "mel_bins": 32,
            "frame_length_ms": 25.0,
            "frame_shift_ms": 10.0,
            "window": "hanning",
        },
        length=np.full(n, 60),
        start=np.zeros(n),
        waveform=waveform.astype(np.int16),
    )


@pytest.fixture(scope="module")
def settings() -> RunSettings:
    return RunSettings.model_validate(
        {
            "model": {"name": "efficientnet_b0", "pooling": "attention"},
            "sampling": {},
            "training": {"epochs": 3, "batch_size": 8, "validation_fraction": 0.25},
            "augmentation": {"frequency_mask": 8, "time_mask": 20},
            "strategy": "badge",
            "options": {"loss_label": "hypothesised"},
            "seeds": [0],
            "draw_per_seed": False,
        }
    )


def bag_data(resident_bytes: int | None = None) -> BagData:
    features = store()
    n = len(features.x)
    bags = Bags(
        bag=np.arange(n),
        label=features.y[:, 0].astype(np.int8),
        density=np.full(n, np.nan),
        instances=np.arange(n, dtype=np.int64)[:, None],
    )
    return BagData(features, bags, prepare("cpu", 1), resident_bytes)


def same(a: dict, b: dict) -> bool:
    return a["history"] == b["history"] and all(
        torch.equal(a["best_model"][name], b["best_model"][name]) for name in a["best_model"]
    )


def test_an_interrupted_training_ends_with_the_same_bytes_and_so_does_a_streamed_one(
    settings, tmp_path
):
    """Mixing, masks, weighted batches, paths left out and normalisation over batches included."""

    def keep(state):
        torch.save(state, tmp_path / f"{state['epoch']}.pt")

    whole = train_seed(bag_data(), settings, 0, None, keep)
    for epoch in (1, 2):
        state = torch.load(tmp_path / f"{epoch}.pt", weights_only=True)
        assert same(train_seed(bag_data(), settings, 0, state, lambda _: None), whole)
    streamed = bag_data(resident_bytes=0)
    assert same(train_seed(streamed, settings, 0, None, lambda _: None), whole)
    assert not same(train_seed(bag_data(), settings, 1, None, lambda _: None), whole)


def test_training_may_start_from_published_weights(settings):
    """All of the encoder is theirs at the start; the last layer is as without them."""
    from torchvision.models import efficientnet_b0

    from weakneg.training.loop import _SeedTraining

    torch.manual_seed(7)
    published = efficientnet_b0(weights=None).state_dict()
    started = _SeedTraining(bag_data(), settings, 0, None, published).model
    random = _SeedTraining(bag_data(), settings, 0, None, None).model
    for name, value in started.encoder.features.state_dict().items():
        expected = published[f"features.{name}"]
        expected = expected.sum(1, keepdim=True) if name == "0.0.weight" else expected
        assert torch.equal(value, expected)
    assert torch.equal(started.head.weight, random.head.weight)
