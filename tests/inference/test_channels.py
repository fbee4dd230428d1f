"""A study that hears each channel: two microphones in one file, and an owl at one of them."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from by_position import train_run

import weakneg
from weakneg.audio.acquire import acquire_shard
from weakneg.audio.recordings import list_recordings
from weakneg.audio.shards import compute_shard
from weakneg.bags.corrections import correct_clips
from weakneg.bags.manifest import list_clips, read_bags
from weakneg.bags.split import split_validation
from weakneg.command_line import main
from weakneg.config.classes import class_names
from weakneg.config.load import load_study
from weakneg.config.stages import (
    AcquireSettings,
    CorrectionSettings,
    FeaturesSettings,
    ListSettings,
    RunSettings,
    ShardSettings,
)
from weakneg.config.study import Study
from weakneg.datasets import formats, recordings
from weakneg.datasets.formats import Table
from weakneg.errors import UserError
from weakneg.features.build import build_features
from weakneg.features.store import read_store

RATE = 16_000
RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies"
)
STUDY = """\
title: Two microphones
dataset: {name: recordings, list: tables, folder: sounds, annotated: whole}
audio: {clip_seconds: 1.0, mel_bins: 16, frame_shift_ms: 5.0, channel: each}
model: {name: cnn, pooling: attention}
training: {epochs: 12, batch_size: 8, learning_rate: 1e-2, validation_fraction: 0.3}
strategies: [random]
seeds: 1
"""
N = 24


def sound(seconds: int, owls: dict[int, int], seed: int, channels: int = 2) -> np.ndarray:
    """Noise, and an owl in the given second of a channel: channel -> second."""
    samples = 0.02 * np.random.default_rng(seed).standard_normal((seconds * RATE, channels))
    hoot = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(RATE // 2) / RATE)
    for channel, second in owls.items():
        first = second * RATE + RATE // 4
        samples[first : first + len(hoot), channel - 1] += hoot
    return samples


def owl_of(number: int) -> tuple[int, int]:
    """Channel and second of the owl in a recording."""
    return 1 + number % 2, number // 2 % 2


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Recordings with Raven's tables, the study's stages up to a trained model, and a new night."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "sounds").mkdir()
    (folder / "tables").mkdir()
    for number in range(N):
        channel, second = owl_of(number)
        samples = sound(2, {channel: second}, number)
        soundfile.write(folder / f"sounds/r{number}.wav", samples, RATE)
        row = f"1\tSpectrogram 1\t{channel}\t{second + 0.25}\t{second + 0.75}\t800\t1200\tOwl"
        table = folder / f"tables/r{number}.Table.1.selections.txt"
        table.write_text(f"{RAVEN}\n{row}\n")
    soundfile.write(folder / "sounds/mono.wav", sound(2, {1: 0}, 99, channels=1), RATE)
    row = "1\tSpectrogram 1\t1\t0.25\t0.75\t800\t1200\tOwl"
    (folder / "tables/mono.Table.1.selections.txt").write_text(f"{RAVEN}\n{row}\n")
    (folder / "mine.yaml").write_text(STUDY)
    (folder / "new").mkdir()
    # Two owls in channel 2 that follow each other, and one in channel 1 at the second of them.
    night = sound(4, {2: 1}, 200) + sound(4, {2: 2, 1: 2}, 201)
    soundfile.write(folder / "new/night.wav", night, RATE)
    before = Path.cwd()
    os.chdir(folder)
    try:
        features(load_study("./mine.yaml"))
        list_clips(Path("train.h5"), Path("train.csv"))
        settings = RunSettings.of(load_study("./mine.yaml"), "random")
        identity = {"study": "two", "class": "Owl", "strategy": "random", "fingerprint": "f00d"}
        train_run(Path("train.h5"), Path("train.csv"), "runs/Owl/random", settings, identity)
    finally:
        os.chdir(before)
    return folder


def features(study: Study) -> None:
    """The stages from the list to the stores, in the working directory."""
    list_recordings(ListSettings.of(study), Path("sounds"), Path("recordings.csv"))
    shards = []
    for split, numbers in study.shards.items():
        for number in numbers:
            status, shard = Path(f"{split}-{number}.csv"), Path(f"shards/{split}/{number}.h5")
            found = AcquireSettings.of(study, split, number)
            folders = (Path("sounds"), Path("no"))
            acquire_shard(found, Path("sounds"), split, int(number), *folders, status)
            shard.parent.mkdir(parents=True, exist_ok=True)
            compute_shard(status, ShardSettings.of(study), shard, 2)
            shards.append(shard)
    outputs = (Path("train.h5"), Path("test.h5"), Path("problems.csv"))
    settings = FeaturesSettings.of(study)
    build_features(settings, Path("sounds"), *outputs, [Path("recordings.csv"), *shards])


def labels() -> dict[str, set[str]]:
    """Clip -> its labels, of both stores of the working directory."""
    found = {}
    for split in ("train", "test"):
        store = read_store(f"{split}.h5")
        for clip, y in zip(store.id.tolist(), store.y, strict=True):
            found[clip] = {store.class_names[c] for c in np.flatnonzero(y == 1)}
    return found


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Runs a study of a list of one's own, of stereo recordings of a second; returns the labels."""
    monkeypatch.chdir(tmp_path)

    for function in (recordings._rows, recordings.recordings, class_names):
        function.cache_clear()  # each test writes the same name

    def run(*rows: str, header="file,labels,split,channel", **channels: np.ndarray) -> dict:
        Path("sounds").mkdir(exist_ok=True)
        for name in {row.split(",")[0] for row in rows}:
            samples = channels.get(name.partition(".")[0], sound(1, {}, ord(name[0])))
            soundfile.write(f"sounds/{name}", samples, RATE)
        Path("list.csv").write_text("\n".join([header, *rows]) + "\n")
        text = STUDY.replace("tables", "list.csv").replace(", annotated: whole", "")
        Path("mine.yaml").write_text(text)
        features(load_study("./mine.yaml"))
        return labels()

    return run


# ---- in a study ----------------------------------------------------------------------------------
def test_a_label_is_that_of_the_clip_of_its_channel_alone(home, monkeypatch):
    """A recording of one channel has the clips that it always had."""
    monkeypatch.chdir(home)
    of_channels = {
        f"r{number}@{second}-ch{channel}": (channel, second) == owl_of(number)
        for number in range(N)
        for second in (0, 1)
        for channel in (1, 2)
    }
    expected = of_channels | {"mono@0": True, "mono@1": False}
    assert {clip: found == {"Owl"} for clip, found in labels().items()} == expected
    assert len(Path("problems.csv").read_text().splitlines()) == 1


def test_the_channels_of_a_recording_are_on_one_side_of_each_split(home, monkeypatch):
    monkeypatch.chdir(home)
    stores = {split: read_store(f"{split}.h5") for split in ("train", "test")}
    sources = {
        split: [clip.split("@")[0] for clip in store.id.tolist()] for split, store in stores.items()
    }
    assert not set(sources["train"]) & set(sources["test"])
    assert stores["train"].group.tolist() == sources["train"]
    bags = read_bags("train.csv", stores["train"], "Owl")[0]
    sides = split_validation(bags.label, 0.3, 0, bags.group)
    train, validation = ({sources["train"][row] for row in side} for side in sides)
    assert validation
    assert not train & validation


def test_without_a_channel_every_channel_has_the_labels_of_the_recording(own):
    """A weak label; one that names a channel belongs to it, and so does what was not heard."""
    found = own(
        *("a.wav,Owl,train,", "b.wav,Owl,train,2", "b.wav,Fox,train,1", "c.wav,,train,"),
        *("d.wav,Owl,test,", "e.wav,Fox,test,1", "f.wav,,test,"),
    )
    assert found == {
        **{"a.wav@ch1": {"Owl"}, "a.wav@ch2": {"Owl"}, "b.wav@ch1": {"Fox"}, "b.wav@ch2": {"Owl"}},
        **{"c.wav@ch1": set(), "c.wav@ch2": set(), "d.wav@ch1": {"Owl"}, "d.wav@ch2": {"Owl"}},
        **{"e.wav@ch1": {"Fox"}, "e.wav@ch2": set(), "f.wav@ch1": set(), "f.wav@ch2": set()},
    }


def test_what_was_looked_for_in_one_channel_is_unknown_in_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text(f"{RAVEN}\n1\tS\t2\t0\t1\t0\t9\tOwl\n2\tS\t1\t0\t1\t0\t9\tFox\n")
    table = Table("a.txt", "raven", columns=(("channel", "Channel"),), annotated="listed")
    rows = [(row.labels, row.negatives, row.channel) for row in formats.rows(table)]
    assert rows == [
        *((("Owl",), (), 2), (("Fox",), (), 1)),
        *(((), ("Fox",), 2), ((), ("Owl",), 1)),
    ]
    without = formats.rows(table._replace(columns=()))
    assert [(row.labels, row.negatives, row.channel) for row in without] == [
        (("Owl",), (), None),
        (("Fox",), (), None),
    ]


def test_birdnet_names_no_channel(tmp_path):
    """It hears the mean of all, and writes 1."""
    path = tmp_path / "a.txt"
    header = RAVEN.replace("Species", "Common Name\tSpecies Code\tConfidence")
    path.write_text(f"{header}\n1\tS\t1\t0\t3\t0\t9\tOwl\towl\t.9\n")
    table = Table(str(path), "raven", columns=(("channel", "Channel"),), min_confidence=0.0)
    assert [row.channel for row in formats.rows(table)] == [None]


def test_a_channel_may_be_written_as_pandas_writes_it_where_others_are_empty(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("file,labels,channel\na.wav,Owl,2.0\nb.wav,Owl,\n")
    table = Table(str(path), formats.OWN, columns=(("channel", "channel"),))
    assert [row.channel for row in formats.rows(table)] == [2, None]


def test_a_silent_channel_is_left_out_and_the_other_one_heard(own):
    silent = sound(1, {1: 0}, 5)
    silent[:, 1] = 0
    found = own(
        *("a.wav,Owl,train,1", "b.wav,,train,", "c.wav,Owl,test,", "d.wav,,test,"), a=silent
    )
    assert "a.wav@ch1" in found
    assert "a.wav@ch2" not in found
    assert "a.wav@ch2,silent: no sound" in Path("problems.csv").read_text()


def test_labels_of_stereo_originals_do_not_make_negatives_of_mono_copies(own, capsys):
    """The study stops, and `describe` says so before."""
    rows = [f"{n}.wav,Owl,{'train' if n < 4 else 'test'},{1 + n % 2}" for n in range(6)]
    copies = {str(n): sound(1, {1: 0}, n, channels=1) for n in range(6)}
    with pytest.raises(UserError) as stopped:
        own(*rows, **copies)
    assert str(stopped.value) == (
        "3 of the 6 events of 'Owl' lie outside their recordings, such as Owl from 0 s on in "
        "channel 2 of '1.wav', which has 1 channel: list the files that the labels were made on, "
        "correct the channels, or raise audio.max_outside (0.05) in the study."
    )
    assert not Path("train.h5").exists()
    assert main(["describe", "./mine.yaml"]) == 0
    said = capsys.readouterr().out
    assert "events outside their recordings: 3\n  1.wav: Owl from 0 s on in channel 2 is" in said
    assert said.endswith(f"the study would stop: {stopped.value}\n")


def test_a_channel_that_is_not_there_and_a_silent_one_are_told_apart(own, capsys):
    """Below the threshold; the same event of the first channel is where the list says."""
    silent = sound(1, {1: 0}, 5)
    silent[:, 1] = 0
    found = own(
        *(f"a.wav,Owl,train,{channel},0.2,0.7" for channel in (1, 2, 3)),
        *(f"b.wav,Owl,train,2,0.{n},0.9" for n in range(1, 9)),
        *(f"c.wav,Owl,test,1,0.{n},0.95" for n in range(10, 22)),
        header="file,labels,split,channel,onset,offset",
        a=silent,
    )
    assert found["a.wav@ch1"] == {"Owl"}
    assert pd.read_csv("problems.csv").problem.tolist() == [
        "silent: no sound louder than -100 dBFS",
        "Owl from 0.2 to 0.7 s in channel 3 is outside the recording, which has 2 channels",
        "Owl from 0.2 to 0.7 s in channel 2 is in none of its clips",
    ]
    said = "1 of 23 events lie outside their recordings (Owl 1), 1 more label no clip\n"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("a.wav,Owl,train,left",), "line 2: the channel is 'left', but must be a number from 1"),
        (("a.wav,Owl,train,1", "a.wav,Fox,train,"), "has labels with and without a channel"),
        (("a.wav,Owl,train,", "a.wav,Fox,train,2"), "has labels with and without a channel"),
    ],
)
def test_a_channel_that_is_none_is_named_with_its_line(own, rows, words):
    with pytest.raises(UserError, match=words):
        own(*rows, "b.wav,Owl,test,")


def test_studies_that_hear_no_channel_for_itself_are_as_they_were(home, monkeypatch):
    """Their settings, so that nothing runs again; their list, whatever its column says."""
    monkeypatch.chdir(home)
    Path("mean.yaml").write_text(STUDY.replace(", channel: each", ""))
    study = load_study("./mean.yaml")
    settings = [ListSettings.of(study), FeaturesSettings.of(study), ShardSettings.of(study)]
    assert not any("channel" in each.text() for each in settings)
    list_recordings(settings[0], Path("sounds"), Path("mean.csv"))
    assert "channel" not in Path("mean.csv").read_text()
    assert "event_channels" in Path("recordings.csv").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            (
                "name: recordings, list: tables, folder: sounds, annotated: whole",
                "name: soundscapes",
            ),
            "audio.channel: each is for recordings of your own, but the clips of soundscapes are",
        ),
        (
            ("annotated: whole", "columns: {file: a, labels: b, channel: c}"),
            "dataset.columns.channel: channels are only told apart with audio: {channel: each}",
        ),
    ],
)
def test_channels_where_they_make_no_sense_are_refused(home, monkeypatch, change, words):
    monkeypatch.chdir(home)
    text = STUDY.replace(*change)
    text = text if "soundscapes" in text else text.replace(", channel: each", "")
    Path("wrong.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_study("./wrong.yaml")
    assert words in str(caught.value)


def test_describe_counts_the_clips_of_each_channel(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    assert main(["describe", "./mine.yaml"]) == 0
    said = capsys.readouterr().out
    assert f"{N:,} have several channels, each of which is heard for itself" in said
    owls = [int(cell) for cell in said.split("| Owl")[1].split("|")[1:5]]
    assert sum(owls) == 4 * N + 2
    assert owls[0] + owls[2] == N + 1


# ---- in new recordings ---------------------------------------------------------------------------
@pytest.fixture(scope="module")
def scored(home) -> Path:
    """The folder of the scores of the new night, of its frames and its embeddings."""
    before = Path.cwd()
    os.chdir(home)
    try:
        predict("new", "scores.csv", "--frames", "frames.csv", "--embeddings", "embedded.parquet")
    finally:
        os.chdir(before)
    return home


def predict(recordings: str, output: str, *options: str) -> None:
    models = ["--models", "runs/Owl/random", "--threads", "2", "--device", "cpu"]
    assert main(["predict", recordings, *models, "--output", output, *options]) == 0


@pytest.fixture
def detections(scored, monkeypatch, tmp_path):
    """Runs the command on the scores; returns where it has written."""
    monkeypatch.chdir(scored)

    def run(format: str, *options: str) -> Path:
        options = options or ("--threshold", "0.5")
        output = tmp_path / format
        options = () if format in ("wide", "parquet") else options
        shared = ["--format", format, "--output", str(output)]
        assert main(["detections", "scores.csv", *shared, *options]) == 0
        return output

    return run


OWLS = [(1.0, 3.0, 2), (2.0, 3.0, 1)]
"""Start, end and channel of the owls in the new night."""


def test_each_window_has_a_row_of_each_channel_and_the_owl_is_in_its_own(scored):
    table = pd.read_csv(scored / "scores.csv")
    assert list(table.columns[:5]) == ["recording", "start", "end", "channel", "study"]
    assert len(table) == 4 * 2
    found = table[table.score >= 0.5]
    assert {*zip(found.start, found.channel, strict=True)} == {(1.0, 2), (2.0, 2), (2.0, 1)}
    frames = pd.read_csv(scored / "frames.csv")
    assert list(frames.columns[:5]) == ["recording", "start", "end", "channel", "time"]
    embedded = pd.read_parquet(scored / "embedded.parquet")
    clips = embedded[embedded.time.isna()]
    assert [*zip(clips.start, clips.channel, strict=True)] == [
        *zip(table.start, table.channel, strict=True)
    ]


def test_the_scores_of_a_channel_are_those_of_a_file_of_its_own(scored, monkeypatch, tmp_path):
    """As `sox ... remix` writes it, and the same in Python."""
    monkeypatch.chdir(scored)
    table = pd.read_csv("scores.csv")
    samples, _ = soundfile.read("new/night.wav")
    for channel in (1, 2):
        soundfile.write(tmp_path / f"{channel}.wav", samples[:, channel - 1], RATE)
        predict(str(tmp_path / f"{channel}.wav"), str(tmp_path / "alone.csv"))
        alone = pd.read_csv(tmp_path / "alone.csv")
        assert set(alone.channel) == {1}
        np.testing.assert_allclose(alone.score, table[table.channel == channel].score, rtol=1e-5)
    again = weakneg.load("runs/Owl/random", device="cpu").predict("new")
    pd.testing.assert_frame_equal(again[[*table.columns[:4]]], table[[*table.columns[:4]]])
    np.testing.assert_allclose(again.score, table.score, rtol=1e-5)


def test_an_interrupted_run_goes_on_with_the_columns_of_channels(scored, monkeypatch, tmp_path):
    monkeypatch.chdir(scored)
    predict("new", str(tmp_path / "scores.csv"), "--resume")
    assert (tmp_path / "scores.csv").read_bytes() == Path("scores.csv").read_bytes()


def test_detections_join_within_a_channel_and_every_tool_is_told_which(detections):
    found = pd.read_csv(detections("csv"))
    assert list(found.columns[:4]) == ["recording", "start", "end", "channel"]
    assert [*zip(found.start, found.end, found.channel, strict=True)] == OWLS
    raven = pd.read_csv(detections("raven") / "night.wav.selections.txt", sep="\t")
    assert list(raven["Channel"]) == [2, 1]
    kaleidoscope = pd.read_csv(detections("kaleidoscope"))
    assert list(kaleidoscope["CHANNEL"]) == [1, 0]  # it counts from 0
    wide = pd.read_csv(detections("wide"))
    assert list(wide.columns[:4]) == ["recording", "start", "end", "channel"]
    assert len(wide) == 8
    assert list(pd.read_parquet(detections("parquet")).channel) == [1, 2] * 4
    tracks = detections("audacity")
    files = {path.name: path.read_text() for path in tracks.glob("night*")}
    assert files == {
        "night.wav.ch1.txt": "2.000000\t3.000000\tOwl\n",
        "night.wav.ch2.txt": "1.000000\t3.000000\tOwl\n",
    }


@pytest.mark.parametrize("name", ["raven", "audacity"])
def test_what_was_corrected_in_the_tool_keeps_its_channels(detections, name):
    columns = (("channel", formats.load(name).channel), ("labels", "Species"))
    table = Table(str(detections(name)), name, min_confidence=0.0, columns=columns)
    rows = [
        (row.file, *(row.times or ()), row.channel) for row in formats.rows(table) if row.labels
    ]
    assert sorted(rows) == [("night.wav", *owl) for owl in OWLS]


# ---- corrections ---------------------------------------------------------------------------------
def test_clips_to_listen_to_are_those_of_a_channel(scored, monkeypatch, tmp_path):
    monkeypatch.chdir(scored)
    assert main(["clips", "scores.csv", "--output", str(tmp_path / "listen"), "--top", "3"]) == 0
    page = (tmp_path / "listen/clips.html").read_text()
    night, _ = soundfile.read("new/night.wav")
    for start, channel in ((1, 2), (2, 1), (2, 2)):
        assert f'data-id="new/night.wav@{start}-ch{channel}" data-start="{start}' in page
        (file,) = (tmp_path / "listen").glob(f"*_{start}s_ch{channel}.wav")
        wave, _ = soundfile.read(file)
        heard = night[start * RATE : (start + 1) * RATE, channel - 1]
        np.testing.assert_allclose(wave, heard - heard.mean(), atol=1e-3)


def corrected(study: str, *lines: str) -> dict[str, set[str]]:
    """The labels of the training clips after corrections, through the study's own stages."""
    heard = Path(f"heard{abs(hash(lines))}.csv")
    heard.write_text("\n".join(["id,start,labels,negatives", *lines]) + "\n")
    Path("corrected.yaml").write_text(f"{study}corrections: {heard}\n")
    loaded = load_study("./corrected.yaml")
    settings = CorrectionSettings.of(loaded, "owl", "train")
    correct_clips("Owl", settings, Path("train.csv"), [heard], Path("corrected.csv"))
    table = pd.read_csv("corrected.csv", keep_default_na=False)
    return {row.id: {*row.labels.split(";")} - {""} for row in table.itertuples()}


def test_a_correction_is_of_the_clip_of_a_channel(home, monkeypatch):
    """By the id of the clip, as both pages write it; the same start in the other channel stays."""
    monkeypatch.chdir(home)
    before = pd.read_csv("train.csv", keep_default_na=False)
    recording = next(clip.split("@")[0] for clip in before.id if clip.startswith("r"))
    number = int(recording[1:])
    channel, second = owl_of(number)
    lines = [
        f"elsewhere/sounds/{recording}.wav@{second}-ch{channel},{second},,Owl",
        f"{recording}@{second}-ch{3 - channel},{second},Owl,",
    ]
    found = corrected(STUDY, *lines)
    assert found[f"{recording}@{second}-ch{channel}"] == set()
    assert found[f"{recording}@{second}-ch{3 - channel}"] == {"Owl"}
    changed = {
        clip
        for clip, text in zip(before.id, before.labels, strict=True)
        if found[clip] != {*text.split(";")} - {""}
    }
    assert len(changed) == 2
    with pytest.raises(UserError, match="has clips of several channels: name the one that was"):
        corrected(STUDY, f"{recording},{second},,Owl")
    with pytest.raises(UserError, match="has no clip in channel 7"):
        corrected(STUDY, f"{recording}@{second}-ch7,{second},,Owl")
