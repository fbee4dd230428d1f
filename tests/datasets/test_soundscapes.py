"""The embedded soundscapes: the same each time, labelled as they sound, and hard to tell apart."""

import csv
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.random import PCG64, Generator
from workspace import ROOT

from weakneg.datasets import soundscapes, synthesis
from weakneg.datasets.audioset_lists import read_segments
from weakneg.datasets.synthesis import CLIP_SECONDS, SAMPLE_RATE, SOUNDS, soundscape
from weakneg.errors import UserError
from weakneg.models import cnn

PAIRS = [("Sweep", "Siren"), ("Tone", "Beeps"), ("Bark", "Noise burst"), ("Rain", "Click train")]

# Where the energy of a class is, Hz.
BANDS = {
    **{name: (300, 6000) for name in ("Sweep", "Siren", "Tone", "Beeps", "Bark", "Noise burst")},
    "Voice": (100, 3800),
    "Engine": (40, 1500),
    "Rain": (1000, 8000),
    "Click train": (1000, 8000),
    "Bird chirp": (2000, 8000),
    "Bell": (200, 4500),
}


SIZES = {"train": 12, "test": 8}


def make(folder: Path) -> Path:
    """The first clips of the data set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soundscapes, "SPLIT_SIZES", SIZES)
        soundscapes.fetch(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("soundscapes"))


@pytest.fixture(scope="module")
def planned():
    """The labels of every clip of the whole data set, which come before its sound."""

    def silent(labels, rng):
        return np.zeros(0, np.int16), [(label, 0.0, 1.0) for label in labels]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesis, "soundscape", silent)
        patch.setattr(soundfile, "write", lambda *args, **options: None)
        return {
            split: [
                [label for label, *_ in events]
                for events in soundscapes._make_clips(split, Path()).values()
            ]
            for split in soundscapes.SPLIT_SIZES
        }


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# ----------------------------------------------------------------------------- the files
def test_it_is_the_same_each_time_and_replaces_what_was_there(folder, tmp_path):
    (tmp_path / "audio" / "train").mkdir(parents=True)
    (tmp_path / "audio" / "train" / "left_over.flac").write_bytes(b"from another version")
    (tmp_path / "train_segments.csv").write_text("damaged")
    made = contents(make(tmp_path))
    assert made == contents(folder)
    assert len(made) == sum(SIZES.values()) + len(soundscapes.FILES)


def test_another_process_makes_the_same_sound():
    """Neither the hash seed of Python nor what was drawn before matters."""
    code = (
        "import hashlib, numpy.random as r; from weakneg.datasets.synthesis import *; "
        "rng = r.Generator(r.PCG64(3)); "
        "print(hashlib.sha256(soundscape(list(SOUNDS), rng)[0].tobytes()).hexdigest())"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "PYTHONHASHSEED": "7"}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    here = soundscape(list(SOUNDS), Generator(PCG64(3)))[0]
    assert printed.strip() == hashlib.sha256(here.tobytes()).hexdigest()


def test_no_list_remains_where_the_clips_could_not_be_made(tmp_path, monkeypatch):
    def full_disk(*args, **options):
        raise OSError(28, "No space left on device")

    make(tmp_path / "old")
    before = contents(tmp_path / "old")
    monkeypatch.setattr(soundfile, "write", full_disk)
    for name in ("old", "new"):
        with pytest.raises(OSError, match="No space"):
            make(tmp_path / name)
    assert contents(tmp_path / "old") == before
    assert contents(tmp_path / "new") == {}


def test_a_local_copy_of_what_is_made_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^data: \{soundscapes: /copy\} .* remove the key\.$"):
        soundscapes.fetch(tmp_path, "/copy")
    assert list(tmp_path.iterdir()) == []


def test_the_module_is_cheap_to_import():
    code = (
        "import sys; from weakneg.datasets import soundscapes; "
        "heavy = ('soundfile', 'torch', 'weakneg.datasets.synthesis'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.strip() == "[]"


# ----------------------------------------------------------------------------- the lists
def class_numbers(folder: Path) -> dict[str, int]:
    with open(folder / "class_labels_indices.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["display_name"] for row in rows] == list(soundscapes.CLASSES)
    return {row["mid"]: int(row["index"]) for row in rows}


def test_lists_are_read_as_those_of_audioset(folder):
    numbers = class_numbers(folder)
    recordings = soundscapes.recordings(folder)
    for split, size in SIZES.items():
        segments = read_segments(folder / f"{split}_segments.csv", numbers)
        rows = [row for row in recordings if row["split"] == split]
        assert [row["id"] for row in rows] == list(segments)
        assert len(rows) == size
        for row, segment in zip(rows, segments.values(), strict=True):
            assert [soundscapes.CLASSES.index(label) for label in row["labels"]] == list(
                segment.labels
            )
            assert (row["start"], row["end"]) == (segment.start, segment.end) == (0, CLIP_SECONDS)
            info = soundfile.info(folder / row["file"])
            assert (info.frames, info.samplerate, info.channels, info.format, info.subtype) == (
                *(CLIP_SECONDS * SAMPLE_RATE, SAMPLE_RATE, 1),
                *("FLAC", "PCM_16"),
            )


def test_weak_labels_are_the_classes_of_the_events(folder):
    for row in soundscapes.recordings(folder):
        assert row["labels"]
        assert set(row["labels"]) == {label for label, *_ in row["events"]}
        for _, onset, offset in row["events"]:
            assert 0 <= onset < offset <= CLIP_SECONDS


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("train_strong.tsv", r"\t/s/\w+\n", "\t/s/unheard_of\n"),
        ("train_strong.tsv", r"\n.*\n", "\ntrain_000_0\t0.1\n"),
        ("train_strong.tsv", r"\n(\w+)\t[\d.]+", r"\n\1\tsoon"),
        ("train_strong.tsv", r"\ntrain_000_0.*", ""),
        ("test_strong.tsv", r".*", ""),
        ("train_segments.csv", r'"/s/\w+', '"/s/unheard_of'),
    ],
)
def test_a_damaged_list_is_named(folder, tmp_path, file, old, new):
    for name in soundscapes.FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    text = (tmp_path / file).read_text()
    pattern = re.compile(old, re.DOTALL if new == "" and old == ".*" else 0)
    (tmp_path / file).write_text(pattern.sub(new, text, count=0 if "000" in old else 1))
    with pytest.raises(UserError, match=re.escape(str(tmp_path / file))) as error:
        soundscapes.recordings(tmp_path)
    assert "\n" not in str(error.value)


# ----------------------------------------------------------------------------- the classes
def test_every_class_is_in_both_splits_with_a_long_tail(planned):
    for split, clips in planned.items():
        counts = Counter(label for labels in clips for label in labels)
        share = np.array([counts[name] / len(clips) for name in soundscapes.CLASSES])
        assert share.min() > 0.02, "rare, but enough to learn from"
        assert share.max() < 0.4, "a minority, so that there is a pool of negatives"
        assert share[:3].mean() > 3 * share[-3:].mean(), split
    assert {split: len(clips) for split, clips in planned.items()} == soundscapes.SPLIT_SIZES


@pytest.mark.parametrize("pair", PAIRS + [pair[::-1] for pair in PAIRS], ids="-".join)
def test_some_negatives_of_a_class_are_of_its_confusable_partner(planned, pair):
    name, partner = pair
    negatives = [labels for labels in planned["train"] if name not in labels]
    hard = sum(partner in labels for labels in negatives)
    assert 15 <= hard <= len(negatives) / 3


def test_every_class_has_its_rule():
    assert tuple(SOUNDS) == soundscapes.CLASSES


# ----------------------------------------------------------------------------- the sound
def band_energy(x: np.ndarray, band: tuple[float, float]) -> float:
    """Mean power of x inside a band."""
    spectrum = np.abs(np.fft.rfft(x)) ** 2
    hertz = np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE)
    return spectrum[(hertz >= band[0]) & (hertz < band[1])].sum() / len(x) ** 2


@pytest.mark.parametrize("name", SOUNDS)
def test_events_are_heard_where_the_strong_labels_say(name, monkeypatch):
    monkeypatch.setattr(synthesis, "SNR_DB", (20.0, 20.0))
    monkeypatch.setattr(synthesis, "_AGAIN", 0.0)
    for seed in range(5):
        samples, [(label, onset, offset)] = soundscape([name], Generator(PCG64(seed)))
        assert label == name
        start, end = round(onset * SAMPLE_RATE), round(offset * SAMPLE_RATE)
        inside = band_energy(samples[start:end], BANDS[name])
        assert inside > 0.5 * band_energy(samples[start:end], (0, SAMPLE_RATE)), "its band"
        for silence in (samples[:start], samples[end:]):
            if len(silence) > SAMPLE_RATE / 10:
                assert inside > 10 * band_energy(silence, BANDS[name])
        # The ends are the event's, to a hundredth of a second: it is heard close to both.
        loud = np.abs(samples[start:end]) > 4 * np.sqrt(np.mean(samples[: start or 1] ** 2.0))
        if start > SAMPLE_RATE / 10 and name not in ("Rain", "Engine"):
            assert np.flatnonzero(loud)[0] < 0.05 * SAMPLE_RATE


def test_the_signal_to_noise_ratio_is_what_it_says(monkeypatch):
    """The sound with an event less the sound without it is the event."""
    monkeypatch.setattr(synthesis, "_AGAIN", 0.0)
    monkeypatch.setattr(synthesis, "PEAK_DB", (0.0, 0.0))
    for snr in (-6.0, 12.0):
        monkeypatch.setattr(synthesis, "SNR_DB", (snr, snr))
        samples, [(_, onset, offset)] = soundscape(["Tone"], Generator(PCG64(2)))
        background = samples[round(offset * SAMPLE_RATE) :].astype(float)
        both = samples[round(onset * SAMPLE_RATE) : round(offset * SAMPLE_RATE)].astype(float)
        found = 10 * np.log10(np.mean(both**2) / np.mean(background**2) - 1)
        assert found == pytest.approx(snr, abs=1.0)


def test_nothing_clips_and_levels_vary():
    full_scale = np.iinfo(np.int16).max
    peaks = []
    for seed in range(20):
        rng = Generator(PCG64(seed))
        labels = rng.choice(list(SOUNDS), 3, replace=False).tolist()
        peaks.append(np.abs(soundscape(labels, rng)[0].astype(int)).max() / full_scale)
    low, high = (10 ** (db / 20) for db in synthesis.PEAK_DB)
    assert low * 0.99 < min(peaks) < 0.3
    assert 0.5 < max(peaks) < high * 1.01 < 1


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_of_a_class_differ_last_whole_milliseconds_and_fit_into_a_clip(name):
    sounds = [SOUNDS[name](Generator(PCG64(seed))) for seed in range(30)]
    for sound in sounds:
        assert len(sound) % (SAMPLE_RATE // 1000) == 0
        assert 0.1 * SAMPLE_RATE < len(sound) < CLIP_SECONDS * SAMPLE_RATE
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() > 0
    assert len({sound.tobytes() for sound in sounds}) == len(sounds)


# ----------------------------------------------------------------------------- the model for it
@pytest.mark.parametrize("shape", [(198, 64), (161, 40), (9, 8), (1, 1)], ids=str)
def test_cnn_makes_an_instance_of_eight_frames(shape):
    encoder = cnn.build(shape).eval()
    with torch.inference_mode():
        h = encoder(torch.randn(3, *shape))
    assert h.shape == (3, -(-shape[0] // 8), encoder.embedding_size)


def test_instances_of_the_cnn_follow_the_sound():
    """What happens in the second half of a clip does not reach the instances of its first."""
    encoder = cnn.build((128, 64)).eval()
    x = torch.randn(1, 128, 64)
    later = x.clone()
    later[:, 96:] += 1
    with torch.inference_mode():
        changed = (encoder(x) != encoder(later)).any(2)[0]
    assert not changed[:9].any()
    assert changed[12:].all()
