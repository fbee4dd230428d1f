"""A study of embeddings that the tests of inference share."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from by_position import score_run, train_run
from encoders import RATE, encoding_of, write_encoder

from weakneg.audio.embeddings import embed_shard
from weakneg.audio.recordings import Recording, write_recordings
from weakneg.bags.manifest import list_clips
from weakneg.config.sections import AudioSettings
from weakneg.config.stages import EmbeddingSettings, RunSettings, ScoreSettings
from weakneg.features.from_shards import join

CLASSES = ("Hum", "Ring")
CUT = {"sample_rate": RATE, "clip_seconds": 1.0, "hop_seconds": None}


@pytest.fixture(scope="session")
def encoded(tmp_path_factory) -> Path:
    """Recordings, the stores of their embeddings, and a scored run of each class."""
    folder = tmp_path_factory.mktemp("encoded")
    encoder = write_encoder(folder / "tones.onnx")
    encoding = encoding_of(encoder)
    rows, shards = [], {}
    for split, n in (("train", 24), ("test", 6)):
        listed = []
        (folder / split).mkdir()
        for number in range(n):
            rng = np.random.default_rng(number + 100 * n)
            samples = 0.05 * rng.standard_normal(round((0.6 + number % 3) * RATE))
            labels = [label for bit, label in enumerate(CLASSES) if number >> bit & 1]
            for label in labels:
                hertz = {"Hum": 200, "Ring": 3000}[label]
                samples += 0.3 * np.sin(2 * np.pi * hertz / RATE * np.arange(len(samples)))
            path = folder / split / f"{split}{number}.wav"
            soundfile.write(path, samples, RATE, subtype="PCM_16")
            rows.append({"id": path.name, "split": split, "file": path.name, "labels": labels})
            listed.append((path.name, path, "", "", "ok", ""))
        with open(folder / "status.csv", "w", newline="") as file:
            columns = ("id", "path", "start", "end", "status", "message")
            csv.writer(file).writerows([columns, *listed])
        shards[split] = [folder / split / "000.h5"]
        settings = EmbeddingSettings(**CUT, encoding=encoding)
        embed_shard(folder / "status.csv", settings, str(encoder), shards[split][0], 1)
    write_recordings(folder / "recordings.csv", map(Recording.of, rows))
    stores = [folder / f"{split}.h5" for split in shards]
    audio = AudioSettings(sample_rate=RATE, clip_seconds=1.0).model_dump()
    problems = folder / "problems.csv"
    listed = folder / "recordings.csv"
    join(listed, shards, CLASSES, audio, *stores, problems, encoding=encoding)
    for store in stores:
        list_clips(store, store.with_suffix(".csv"))
    settings = RunSettings.model_validate(
        {
            "model": {"name": "mlp", "pooling": "attention"},
            "sampling": {"negatives_per_positive": 1.0},
            "training": {
                **{"epochs": 20, "batch_size": 8, "learning_rate": 1e-2},
                "validation_fraction": 0.3,
            },
            **{"strategy": "random", "options": {}, "seeds": [0, 3], "draw_per_seed": False},
        }
    )
    for name in CLASSES:
        run = folder / "runs" / name / "random"
        identity = {"study": "s", "class": name, "strategy": "random", "fingerprint": "f00d"}
        train_run(stores[0], folder / "train.csv", run, settings, identity)
        scoring = ScoreSettings(model=settings.model, score_batch_size=7, draw_per_seed=False)
        scored = (stores[1], folder / "test.csv", run / "model.pt", name, run / "scores.parquet")
        score_run(*scored, scoring, "cpu", 1)
    return folder
