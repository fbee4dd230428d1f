"""Clips to listen to: what is cut, how it is shown, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from weakneg.command_line import main

RATE = 22_050
SCORES = [("a.wav", 0, 0.9), ("a.wav", 0.5, 0.2), ("b<i>.wav", 0, 0.45), ("b<i>.wav", 0.5, 0.7)]


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Runs the command on two recordings whose second half is higher; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    time = np.arange(RATE // 2) / RATE
    for name in ("a.wav", "b<i>.wav"):
        halves = [0.3 * np.sin(2 * np.pi * hertz * time) for hertz in (440, 1760)]
        soundfile.write(f"in/{name}", np.concatenate(halves), RATE)
    rows = [f"in/{name},{start},{start + 0.5},birds,Owl,random,0,{s}," for name, start, s in SCORES]
    header = "recording,start,end,study,class,strategy,seeds,score,problem"
    Path("scores.csv").write_text("\n".join([header, *rows]) + "\n")
    return lambda *options: main(["clips", "scores.csv", "--output", "listen", *options])


def listed() -> list[str]:
    return sorted(path.name for path in Path("listen").glob("*.wav"))


def test_the_highest_scores_are_cut_as_they_are_in_the_recording(clips):
    assert clips("--top", "2") == 0
    assert listed() == ["1_0.900_a_0s.wav", "2_0.700_b<i>_0.5s.wav"]
    for name, hertz in zip(listed(), (440, 1760), strict=True):
        wave, rate = soundfile.read(f"listen/{name}")
        assert (rate, len(wave)) == (RATE, RATE // 2)
        assert np.abs(np.fft.rfft(wave)).argmax() * 2 == pytest.approx(hertz, abs=4)


def test_the_doubtful_ones_have_scores_closest_to_one_half(clips):
    assert clips("--top", "2", "--doubtful") == 0
    assert listed() == ["1_0.450_b<i>_0s.wav", "2_0.700_b<i>_0.5s.wav"]


def test_the_page_holds_all_that_it_shows_and_names_clips_as_corrections_do(clips):
    assert clips() == 0
    page = Path("listen/clips.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)
    assert "<i>" not in page
    assert page.count("data-picture>") == page.count("<select data-mark") == 4
    assert 'data-id="in/b&lt;i&gt;.wav@0.5" data-start="0.5"' in page


STUDY = """\
title: Mine
dataset: {name: recordings, list: list.csv, folder: in, unlisted: unknown}
audio: {clip_seconds: 0.5}
model: {name: cnn}
strategies: [random]
"""
LISTED = [
    *("a.wav,Owl,,0.5,1.0,", "b<i>.wav,,,,,"),
    *(f"{split}{n},Owl,,,,{split}" for split in ("train", "test") for n in range(9)),
    *(f"{split}{n},,Owl,,,{split}" for split in ("train", "test") for n in range(10, 19)),
]


def test_clips_that_a_study_has_answers_about_are_left_out(clips, capsys):
    Path("list.csv").write_text("\n".join(["file,labels,negatives,onset,offset,split", *LISTED]))
    Path("mine.yaml").write_text(STUDY)
    assert clips("--study", "./mine.yaml") == 0
    assert listed() == ["1_0.900_a_0s.wav", "2_0.700_b<i>_0.5s.wav", "3_0.450_b<i>_0s.wav"]
    Path("heard.csv").write_text("id,start,labels,negatives\nin/b<i>.wav@0.5,0.5,,Owl\n")
    Path("mine.yaml").write_text(f"{STUDY}corrections: heard.csv\n")
    assert clips("--study", "./mine.yaml", "--output", "more") == 0
    again = sorted(path.name for path in Path("more").glob("*.wav"))
    assert again == ["1_0.900_a_0s.wav", "2_0.450_b<i>_0s.wav"]
    Path("mine.yaml").write_text(STUDY.replace("unlisted: unknown", "unlisted: negative"))
    assert clips("--study", "./mine.yaml", "--output", "none") == 1
    assert "says of each clip whether it holds 'Owl'" in capsys.readouterr().err


def test_an_answer_about_a_clip_says_nothing_about_one_that_overlaps(clips):
    Path("list.csv").write_text("\n".join(["file,labels,negatives,onset,offset,split", *LISTED]))
    Path("between.csv").write_text("id,start,labels,negatives\nin/b<i>.wav@0.25,0.25,,Owl\n")
    Path("mine.yaml").write_text(f"{STUDY}corrections: between.csv\n")
    assert clips("--study", "./mine.yaml") == 0
    assert len(listed()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--class-name", "Owls"), "'Owls' is not a class of scores.csv; did you mean 'Owl'?"),
        (("--top", "0"), "--top must be at least 1, not 0"),
    ],
)
def test_bad_options_are_named(clips, capsys, options, message):
    assert clips(*options) == 1
    assert message in capsys.readouterr().err
    assert not Path("listen").exists()


def test_a_recording_that_is_gone_leaves_nothing_half_written(clips, capsys):
    Path("in/a.wav").unlink()
    assert clips() == 1
    assert "in/a.wav cannot be read" in capsys.readouterr().err
    assert not Path("listen").exists()


def test_a_folder_that_exists_is_not_written_over(clips, capsys):
    assert clips("--top", "1") == 0
    assert clips("--top", "2") == 1
    assert "listen exists: name a new folder" in capsys.readouterr().err
    assert len(listed()) == 1
