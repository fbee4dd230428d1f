"""A study of embeddings of a foundation model, from sound to scores."""

from pathlib import Path

import h5py
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import soundfile
from encoders import HERTZ, RATE, encoding_of, write_encoder

from weakneg.audio.decode import open_audio
from weakneg.audio.embeddings import embed_shard
from weakneg.audio.encoder import open_encoder
from weakneg.audio.recordings import Recording, write_recordings
from weakneg.audio.status_table import StatusRow, write_status
from weakneg.command_line import main
from weakneg.config.sections import AudioSettings
from weakneg.config.stages import EmbeddingSettings
from weakneg.errors import UserError
from weakneg.features.from_shards import join
from weakneg.features.store import read_store

CLASSES = ("Hum", "Ring")


@pytest.fixture
def study(encoded) -> Path:
    return encoded


def predict(study: Path, recordings: Path, output: Path, *options, status: int = 0) -> None:
    arguments = ["predict", recordings, "--models", *(study / "runs").glob("*/random")]
    arguments += ["--output", output, "--device", "cpu", "--threads", "2", *options]
    assert main(list(map(str, arguments))) == status


# ---- embeddings ----------------------------------------------------------------------------------
@pytest.mark.parametrize("frames", [None, 4])
@pytest.mark.parametrize("batch", ["batch", 1, None])
def test_a_clip_is_encoded_window_by_window(tmp_path, frames, batch):
    """Whatever shapes the file has, with the last window padded if half of it is sound."""
    file = write_encoder(tmp_path / "e.onnx", frames=frames, batch=batch)
    encoder = open_encoder(file, encoding_of(file))
    waveform = np.random.default_rng(0).normal(0, 0.1, 15_000).astype(np.float32)
    found = encoder(waveform)
    windows = [waveform[first : first + 8000] for first in (0, 4000, 8000)]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for number, window in enumerate(windows):
        padded = np.pad(window, (0, 8000 - len(window)))
        (expected,) = session.run(None, {"sound": padded if batch is None else padded[None]})
        of_window = found.reshape(3, -1, len(HERTZ))[number]
        np.testing.assert_allclose(of_window, expected.reshape(-1, len(HERTZ)), rtol=1e-5)
    assert encoder.n_frames(15_000) == len(found) == 3 * (frames or 1)
    assert [encoder.n_windows(n) for n in (1, 8000, 8001, 11_999, 12_001)] == [1, 1, 2, 2, 2 + 1]
    apart = open_encoder(file, encoding_of(file, hop_seconds=0.5))
    assert [apart.n_windows(n) for n in (8000, 11_999, 12_000, 19_999, 20_000)] == [1, 1, 2, 2, 3]
    assert encoder.centre(0) == pytest.approx(0.25 / (frames or 1))


def test_the_store_has_the_embeddings_of_each_clip_as_frames(study):
    store = read_store(study / "test.h5")
    assert store.kind == "clips"
    assert store.x.shape == (len(store.id), 3, len(HERTZ))
    assert store.mean.shape == store.std.shape == (len(HERTZ),)
    encoder = open_encoder(study / "tones.onnx", encoding_of(study / "tones.onnx"))
    for number, (clip_id, length) in enumerate(zip(store.id, store.length, strict=True)):
        name, _, start = str(clip_id).partition("@")
        with open_audio(study / "test" / name, RATE) as audio:
            expected = encoder(audio.read(float(start or 0), 1.0).waveform)
        assert length == len(expected)
        np.testing.assert_array_equal(store.x[number, :length], expected)
    train = read_store(study / "train.h5")
    real = np.concatenate([x[:n] for x, n in zip(train.x, train.length, strict=True)])
    np.testing.assert_allclose(store.mean, real.mean(0), rtol=1e-4)
    np.testing.assert_allclose(store.std, real.std(0), rtol=1e-4)


@pytest.mark.parametrize(
    ("channel", "heard"),
    [("first", {"train": 200}), ("each", {"train@ch1": 200, "train@ch2": 3000})],
)
def test_a_channel_is_chosen_in_a_study_of_embeddings_too(tmp_path, channel, heard):
    file = write_encoder(tmp_path / "e.onnx")
    encoding = encoding_of(file)
    tones = np.sin(2 * np.pi * np.outer(np.arange(RATE) / RATE, [200, 3000]))
    audio = AudioSettings(sample_rate=RATE, clip_seconds=1.0, channel=channel)
    shards, rows = {}, []
    for split in ("train", "test"):
        soundfile.write(tmp_path / f"{split}.wav", 0.3 * tones, RATE)
        status = tmp_path / f"{split}.csv"
        write_status(status, [StatusRow(split, f"{tmp_path}/{split}.wav", None, None, "ok", "")])
        rows.append(Recording(split, split, "", None, None, ("Hum",)))
        shards[split] = [tmp_path / split / "000.h5"]
        embed_shard(status, EmbeddingSettings.cut(audio, encoding), str(file), shards[split][0], 1)
    write_recordings(tmp_path / "recordings.csv", rows)
    stores = [tmp_path / f"{split}.h5" for split in shards]
    listed, problems = tmp_path / "recordings.csv", tmp_path / "problems.csv"
    join(listed, shards, ["Hum"], audio.model_dump(), *stores, problems, encoding=encoding)
    store = read_store(stores[0])
    loudest = [HERTZ[number] for number in store.x.mean(1).argmax(-1)]
    assert dict(zip(store.id.tolist(), loudest, strict=True)) == heard


def test_another_encoder_is_refused_where_embeddings_are_made(study, tmp_path):
    other = write_encoder(tmp_path / "other.onnx", gain=2.0)
    with pytest.raises(UserError, match=r"other\.onnx is not the encoder that the study was made"):
        open_encoder(other, encoding_of(study / "tones.onnx"))


# ---- from sound to scores ------------------------------------------------------------------------
def test_the_scores_of_recordings_are_those_of_the_study(study, tmp_path):
    predict(study, study / "test", tmp_path / "scores.csv", "--no-tail")
    table = pd.read_csv(tmp_path / "scores.csv")
    bags = pd.read_csv(study / "test.csv")
    for name in CLASSES:
        own = pd.read_parquet(study / "runs" / name / "random" / "scores.parquet")
        own["score"] = 1 / (1 + np.exp(-own.score))
        expected = own.groupby("bag").score.mean()
        found = table[table["class"] == name]
        files = found.recording.map(lambda path: Path(path).name)
        places = dict(zip(zip(files, found.start, strict=True), found.score, strict=True))
        for row in bags.itertuples():
            key = (row.id.partition("@")[0], row.start)
            assert places[key] == pytest.approx(expected[row.bag], abs=2e-6)
        assert len(places) == len(bags)
        heard = files.map({f"test{n}.wav": n >> CLASSES.index(name) & 1 for n in range(6)}) == 1
        assert found.score[heard].min() > found.score[~heard].max()


def test_frames_are_timed_by_their_windows(study, tmp_path):
    options = ("--frames", tmp_path / "frames.csv")
    predict(study, study / "test" / "test1.wav", tmp_path / "scores.csv", *options)
    frames = pd.read_csv(tmp_path / "frames.csv")
    times = frames[(frames["class"] == "Hum") & (frames.start == 0)].time
    assert times.tolist() == [0.25, 0.5, 0.75]


def test_the_encoder_may_have_moved_but_must_be_the_same(study, tmp_path, capsys):
    path = study / "tones.onnx"
    moved = path.rename(tmp_path / "moved.onnx")
    try:
        predict(study, study / "test", tmp_path / "scores.csv", status=1)
        assert f"needs its encoder, which was {path}: name" in capsys.readouterr().err
        other = write_encoder(tmp_path / "other.onnx", gain=2.0)
        options = ("--encoder", other)
        predict(study, study / "test", tmp_path / "scores.csv", *options, status=1)
        assert "other.onnx is not the encoder that the study" in capsys.readouterr().err
        assert not (tmp_path / "scores.csv").exists()
        predict(study, study / "test", tmp_path / "scores.csv", "--encoder", moved)
    finally:
        moved.rename(path)


def test_the_exported_file_holds_the_encoder(study, tmp_path, capsys):
    """The command itself compares its scores with those of predict, for whole and short clips."""
    output = tmp_path / "models.onnx"
    runs = sorted((study / "runs").glob("*/random"))
    arguments = ["export", study / "test", "--models", *runs, "--output", output]
    assert main(list(map(str, arguments))) == 0
    assert "differ from those of the models by at most" in capsys.readouterr().err
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    hum = 0.3 * np.sin(2 * np.pi * 200 / RATE * np.arange(RATE))
    waveforms = np.stack([hum, np.random.default_rng(0).normal(0, 0.05, RATE)]).astype(np.float32)
    (scores,) = session.run(["score"], {"waveform": waveforms})
    assert scores.shape == (2, 2)
    assert scores[0, 0] > scores[1, 0]


def test_an_embedding_that_is_not_finite_is_a_problem_of_its_clip(tmp_path):
    file = write_encoder(tmp_path / "loud.onnx", gain=1e30)
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    (tmp_path / "status.csv").write_text(
        f"id,path,start,end,status,message\na.wav,{tmp_path / 'a.wav'},,,ok,\n"
    )
    settings = EmbeddingSettings(
        sample_rate=RATE, clip_seconds=1.0, hop_seconds=None, encoding=encoding_of(file)
    )
    embed_shard(tmp_path / "status.csv", settings, str(file), tmp_path / "s.h5", 1)
    with h5py.File(tmp_path / "s.h5") as shard:
        assert shard["x"].shape == (0, 3, len(HERTZ))
        ((_, problem, consequence),) = np.char.decode(shard["problems"][...])
    assert problem == "not_finite: the encoder gives numbers that are NaN or infinite"
    assert consequence == "excluded"
