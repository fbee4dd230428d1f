"""A study whose clips get background noise from a folder when a model trains on them."""

import os

import numpy as np
import pytest
import soundfile
from workspace import Workspace

RATE = 16_000
STUDY = """\
title: Mine
dataset: {name: recordings, list: list.csv, folder: sounds}
audio: {clip_seconds: 0.5, mel_bins: 16, frame_shift_ms: 20, waveform: true}
model: {name: cnn}
augmentation:
  {mixup_rate: 0, frequency_mask: 0, time_mask: 0, noise: {folder: backgrounds, snr_db: [0, 10]}}
training: {epochs: 1, batch_size: 8, validation_fraction: 0.3}
sampling: {negatives_per_positive: 1.0}
strategies: [random]
seeds: 1
"""
RUNS = "results/mine/runs/dog/random"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = Workspace(tmp_path_factory.mktemp("noise"))
    rng = np.random.default_rng(0)
    for folder in ("sounds", "backgrounds"):
        (made.folder / folder).mkdir()
    rows = ["file,split,labels"]
    for split in ("train", "test"):
        for n in range(12):
            label = "Dog" if n % 2 else ""
            tone = np.sin(np.arange(RATE // 2) * (0.3 if label else 0.1 + 0.01 * n))
            path = made.folder / "sounds" / f"{split}_{n}.wav"
            soundfile.write(path, 0.3 * tone + 0.05 * rng.normal(size=RATE // 2), RATE)
            rows.append(f"{path.name},{split},{label}")
    (made.folder / "list.csv").write_text("\n".join(rows) + "\n")
    (made.folder / "mine.yaml").write_text(STUDY)
    write_noise(made, "wind.wav", 0)
    made.run("--config", "studies=mine.yaml", "--until", "score_run")
    return made


def write_noise(workspace, name, seed):
    noise = 0.1 * np.random.default_rng(seed).normal(size=RATE)
    soundfile.write(workspace.folder / "backgrounds" / name, noise, RATE)


def planned(workspace):
    return workspace.planned("--config", "studies=mine.yaml", "--until", "score_run")


def test_only_runs_depend_on_the_noise(workspace):
    folder = workspace.folder
    before = (folder / RUNS / "model.pt").read_bytes()
    assert not planned(workspace)
    write_noise(workspace, "rain.wav", 1)
    again = {"prepare_noise": 1, "train_run": 1}  # and what is asked for
    assert planned(workspace) == again
    workspace.run("--config", "studies=mine.yaml", "--until", "score_run")
    assert (folder / RUNS / "model.pt").read_bytes() != before
    # The same noise gives the same model.
    os.remove(folder / "backgrounds" / "rain.wav")
    assert planned(workspace) == again
    workspace.run("--config", "studies=mine.yaml", "--until", "score_run")
    assert (folder / RUNS / "model.pt").read_bytes() == before


def test_a_missing_folder_is_named_before_anything_runs(workspace):
    (workspace.folder / "other.yaml").write_text(STUDY.replace("backgrounds", "nowhere"))
    ended = workspace.snakemake("-n", "--config", "studies=other.yaml")
    assert ended.returncode
    assert "there is no folder nowhere" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
