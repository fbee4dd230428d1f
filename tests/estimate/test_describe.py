"""A first look at a study of recordings says what the study would say, before it runs."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from weakneg.audio.clips import cut
from weakneg.audio.decode import open_audio
from weakneg.bags.split import n_chosen, split_validation
from weakneg.config.sections import AudioSettings
from weakneg.errors import UserError
from weakneg.estimate.describe import clip_times, describe

RATE = 8000
STUDY = """\
title: Mine
dataset: {name: recordings, list: tracks, folder: sounds, annotated: ANNOTATED}
audio: {clip_seconds: 2.0, sample_rate: 8000, mel_bins: 32}
model: {name: cnn}
strategies: [random]
"""
MANY_NEGATIVES = "sampling: {negatives_per_positive: 9}\n"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Writes 24 recordings of five seconds with label tracks, and a study of them."""
    monkeypatch.chdir(tmp_path)
    Path("sounds").mkdir()
    Path("tracks").mkdir()
    for number in range(24):
        who = "Owl" if number % 2 else "Fox"
        Path(f"tracks/r{number}.txt").write_text(f"0\t2\t{who}\n")
        sound = np.random.default_rng(number).normal(0, 0.1, 5 * RATE)
        soundfile.write(f"sounds/r{number}.wav", sound, RATE)

    def write(annotated: str) -> str:
        Path("mine.yaml").write_text(STUDY.replace("ANNOTATED", annotated))
        return "./mine.yaml"

    return write


def test_clips_are_those_that_the_study_cuts(study):
    for seconds in (0.5, 2.0, 2.9, 3.0, 5.0, 7.25):
        soundfile.write("long.wav", np.zeros(round(seconds * RATE)), RATE)
        for hop in (None, 0.75, 3.0):
            audio = AudioSettings(clip_seconds=2.0, hop_seconds=hop, sample_rate=RATE)
            with open_audio("long.wav", RATE) as file:
                found = [(start, end) for start, end, _ in cut(file, 2.0, hop or 2.0)]
            np.testing.assert_allclose(clip_times(seconds, audio), found)


def test_what_is_unknown_and_what_is_missing_is_counted(study, capsys):
    Path("sounds/r0.wav").unlink()
    soundfile.write("sounds/r1.wav", np.zeros(RATE // 2), RATE)
    Path("tracks/r1.txt").write_text("0\t0.2\tOwl\n3\t4\tOwl\n")
    describe(study("listed"))
    out = capsys.readouterr().out
    assert "tracks: format audacity, annotated listed" in out
    assert "23 of 24 recordings are there" in out
    assert "left out, missing: 1\n  r0: there is no audio file called r0" in out
    assert "  r1: Owl from 3 to 4 s is outside the recording, which lasts 0.5 s\n" in out
    assert "the study would stop: 1 of the 13 events of 'Owl' lie outside their recordings" in out
    train, test = _counts(out, "Owl")
    # Of five seconds, a clip is listed and two are not; the last one is half a clip.
    assert train[0] + test[0] == 12
    assert train[1] + test[1] == 11
    assert train[2] + test[2] == 22 * 2


def test_in_whole_recordings_nothing_is_unknown(study, capsys):
    describe(study("whole"))
    out = capsys.readouterr().out
    assert "unknown |" not in out
    assert sum(map(sum, _counts(out, "Fox", 2))) == 24 * 3


def test_without_known_negatives_the_remedy_suits_the_format(study):
    for track in Path("tracks").iterdir():
        track.write_text("0\t2\tOwl\n")
    Path("tracks").rename("owls")  # what was read of a path is kept
    path = Path(study("listed"))
    path.write_text(path.read_text().replace("tracks", "owls"))
    with pytest.raises(UserError, match=r"not to hold Owl .*, or say annotated: whole under"):
        describe("./mine.yaml")


def test_clips_that_no_selection_covers_are_no_negatives(study, capsys):
    """Each selection is shorter than a clip, so nothing is known to be silent."""
    for track in Path("tracks").iterdir():
        track.write_text(track.read_text().replace("0\t2", "0\t1.5"))
    Path("tracks").rename("calls")  # what was read of a path is kept
    path = Path(study("listed"))
    path.write_text(path.read_text().replace("tracks", "calls"))
    describe("./mine.yaml")
    out = capsys.readouterr().out
    assert re.search(
        r"^the study would stop: class Fox: \d+ of the \d+ training clips are positive and 0 are "
        r"known to be negative, .* say annotated: whole",
        out,
        re.MULTILINE,
    )
    path.write_text(path.read_text().replace("listed", "whole"))
    describe("./mine.yaml")
    assert "would stop" not in capsys.readouterr().out


def test_an_empty_file_is_said_to_be_empty(study, capsys):
    Path("sounds/r0.wav").write_bytes(b"")
    describe(study("whole"))
    assert "left out, empty: 1\n  r0\n" in capsys.readouterr().out


def test_a_budget_that_is_all_there_is_to_choose_from_is_said(study, capsys):
    path = study("whole")
    describe(path)
    assert "nothing is compared" not in capsys.readouterr().out
    Path("mine.yaml").write_text(STUDY.replace("ANNOTATED", "whole") + MANY_NEGATIVES)
    describe(path)
    assert re.search(
        r"^Fox: \d+ training clips to choose from after validation, where \d+ are wanted: every "
        "strategy trains on all of them, so that nothing is compared; add negatives, or lower",
        capsys.readouterr().out,
        re.MULTILINE,
    )


@pytest.mark.parametrize("annotated", ["listed", "whole"])
def test_a_budget_is_said_to_be_all_where_training_takes_all(study, capsys, annotated):
    """Of the clips that validation leaves, where no unknown clip is."""
    path = study(annotated)
    ratios = np.arange(1, 8, 0.25)
    found = {"says": [], "takes": []}
    for ratio in ratios:
        sampling = f"sampling: {{negatives_per_positive: {ratio}}}\n"
        fraction = "training: {validation_fraction: 0.2}\n"
        Path("mine.yaml").write_text(STUDY.replace("ANNOTATED", annotated) + sampling + fraction)
        describe(path)
        out = capsys.readouterr().out
        counts, _ = _counts(out, "Owl", 3 if annotated == "listed" else 2)
        label = np.repeat([1, 0, -1][: len(counts)], counts)
        training, _ = split_validation(label, 0.2, seed=0)
        positives = np.count_nonzero(label[training] == 1)
        pool = len(training) - positives
        found["takes"].append(pool if n_chosen(ratio, positives, pool) == pool else None)
        said = re.search(r"^Owl: (\d+) training clips .* nothing is compared", out, re.MULTILINE)
        found["says"].append(int(said[1]) if said else None)
    assert found["says"] == found["takes"]
    assert {*found["takes"]} == {None, pool}


def test_a_study_without_a_list_of_recordings_is_refused():
    with pytest.raises(UserError, match="digits is not about recordings of your own"):
        describe("digits")


def _counts(out: str, name: str, kinds: int = 3) -> tuple[list[int], list[int]]:
    """The counts of a class in the table, for training and for testing."""
    (line,) = (line for line in out.splitlines() if line.startswith(f"| {name} "))
    values = [int(cell) for cell in line.strip("|").split("|")[1:]]
    return values[:kinds], values[kinds:]
