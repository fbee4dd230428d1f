"""Scores in the files of other tools: what is detected, and what independent readers find."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from weakneg.command_line import main
from weakneg.datasets import formats
from weakneg.datasets.formats import Table

HEADER = "recording,start,end,study,class,strategy,seeds,score,problem"
SCORES = [
    ("in/x/a.wav", 0, 2, "Owl", 0.9),
    ("in/x/a.wav", 2, 4, "Owl", 0.8),
    ("in/x/a.wav", 4, 6, "Owl", 0.1),
    ("in/x/a.wav", 6, 8, "Owl", 0.5),
    ("in/x/a.wav", 0, 2, "NA", 0.2),
    ("in/y/a.wav", 0, 2, "Owl", 0.95),
    ("in/y/a.wav", 0, 2, "NA", 0.7),
    ("in/y/b.wav", 0, 2, "Owl", 0.3),
]
FOUND = [
    ("in/x/a.wav", 0.0, 4.0, "Owl", 0.9),
    ("in/x/a.wav", 6.0, 8.0, "Owl", 0.5),
    ("in/y/a.wav", 0.0, 2.0, "NA", 0.7),
    ("in/y/a.wav", 0.0, 2.0, "Owl", 0.95),
]


@pytest.fixture
def detections(tmp_path, monkeypatch):
    """Runs the command on `SCORES` in an empty working directory; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{recording},{start},{end},birds,{name},random,0,{score},"
        for recording, start, end, name, score in SCORES
    ]
    Path("scores.csv").write_text("\n".join([HEADER, *rows, "in/c.wav,,,,,,,,missing"]) + "\n")
    soundfile.write("a.wav", np.zeros(8), 32_000)
    for path in ("in/x/a.wav", "in/y/a.wav", "in/y/b.wav"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(Path("a.wav").read_bytes())

    def run(format: str, *options: str) -> int:
        return main(["detections", "scores.csv", "--format", format, "--output", "out", *options])

    return run


def test_clips_that_touch_are_one_detection(detections):
    assert detections("csv", "--threshold", "0.5") == 0
    table = pd.read_csv("out", keep_default_na=False)
    assert list(table.threshold.unique()) == [0.5]
    assert [tuple(row)[:5] for row in table.itertuples(index=False)] == FOUND


@pytest.mark.parametrize("format", ["csv", "raven", "audacity", "kaleidoscope", "wide", "parquet"])
def test_names_of_recordings_may_look_like_numbers(detections, format):
    names = ["0123", "1e5"]
    for name in names:
        Path(name).write_bytes(Path("a.wav").read_bytes())
    rows = [f"{name},0,2,birds,Owl,random,0,0.9," for name in names]
    Path("scores.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    of_all = format in ("wide", "parquet")
    assert detections(format, *([] if of_all else ["--threshold", "0.5"])) == 0
    if format in ("csv", "wide"):
        assert list(pd.read_csv("out", dtype=str)["recording"]) == names
    if format == "raven":
        assert all(Path(f"out/{name}.selections.txt").exists() for name in names)


def test_detections_begin_when_their_first_clip_does(detections):
    table = pd.read_csv("scores.csv")
    table["date"], table["site"] = "2019-08-31", "POND"
    table["time"] = [f"06:00:0{start:g}" if start < 9 else "" for start in table["start"]]
    table.to_csv("scores.csv", index=False)
    assert detections("csv", "--threshold", "0.5") == 0
    found = pd.read_csv("out")
    assert (found["time"] == [f"06:00:0{start:g}" for start in found["start"]]).all()
    assert (found[["date", "site"]] == ["2019-08-31", "POND"]).all(axis=None)


def test_the_best_of_each_class_are_kept(detections):
    assert detections("csv", "--threshold", "0", "--top", "1") == 0
    table = pd.read_csv("out", keep_default_na=False)
    assert sorted(zip(table["class"], table.score, strict=True)) == [("NA", 0.7), ("Owl", 0.95)]


def test_each_recording_has_a_selection_table_also_without_detections(detections):
    assert detections("raven", "--threshold", "0.5") == 0
    tables = {
        str(path): pd.read_csv(path, sep="\t", keep_default_na=False)
        for path in sorted(Path("out").rglob("*.selections.txt"))
    }
    assert {path: len(table) for path, table in tables.items()} == {
        "out/x/a.wav.selections.txt": 2,
        "out/y/a.wav.selections.txt": 2,
        "out/y/b.wav.selections.txt": 0,
    }
    first = tables["out/x/a.wav.selections.txt"]
    assert list(first["Selection"]) == [1, 2]
    assert list(first["End Time (s)"]) == [4.0, 8.0]
    assert list(first["High Freq (Hz)"]) == [16_000.0] * 2
    applied = pd.read_csv("out/_thresholds.csv", keep_default_na=False)
    assert sorted(zip(applied["class"], applied.threshold, strict=True)) == [
        ("NA", 0.5),
        ("Owl", 0.5),
    ]


def test_a_label_track_is_start_end_and_class_for_any_reader(detections):
    assert detections("audacity", "--threshold", "0.5") == 0
    track = pd.read_csv("out/x/a.wav.txt", sep="\t", header=None)
    assert track.to_numpy().tolist() == [[0.0, 4.0, "Owl"], [6.0, 8.0, "Owl"]]


def test_each_class_has_the_threshold_that_predict_has_written(detections):
    table = pd.read_csv("scores.csv", keep_default_na=False)
    thresholds = {"Owl": 0.85, "NA": 0.2, "": ""}
    table.assign(threshold=table["class"].map(thresholds)).to_csv("scores.csv", index=False)
    assert detections("csv") == 0
    found = pd.read_csv("out", keep_default_na=False)
    assert found.groupby("class").threshold.unique().str[0].to_dict() == {"NA": 0.2, "Owl": 0.85}
    assert sorted(zip(found["class"], found.score, strict=True)) == [
        *(("NA", 0.2), ("NA", 0.7), ("Owl", 0.9), ("Owl", 0.95)),
    ]
    Path("out").unlink()
    assert detections("csv", "--threshold", "0.5") == 0
    found = pd.read_csv("out", keep_default_na=False)
    assert [tuple(row)[:5] for row in found.itertuples(index=False)] == FOUND


@pytest.mark.parametrize("name", ["raven", "audacity"])
def test_what_was_corrected_in_the_tool_is_a_list_for_a_study(detections, name):
    assert detections(name, "--threshold", "0.5") == 0
    assert formats.recognise("out") == name
    rows = formats.rows(Table("out", name, min_confidence=0.0))
    labelled = sorted((f"in/{row.file}", *(row.times or ()), *row.labels) for row in rows)
    assert [row for row in labelled if len(row) == 4] == sorted(row[:4] for row in FOUND)
    assert "in/y/b.wav" in {row[0] for row in labelled}


def test_kaleidoscope_gets_folders_and_durations(detections, tmp_path):
    assert detections("kaleidoscope", "--threshold", "0.5") == 0
    table = pd.read_csv("out", keep_default_na=False)
    assert list(table["INDIR"].unique()) == [str(tmp_path / "in")]
    assert list(table["FOLDER"]) == ["x", "x", "y", "y"]
    assert list(table["DURATION"]) == [4.0, 2.0, 2.0, 2.0]


def test_all_scores_have_a_row_for_each_clip_or_a_type_for_each_column(detections):
    assert detections("wide") == 0
    wide = pd.read_csv("out", keep_default_na=False)
    assert list(wide.columns) == ["recording", "start", "end", "date", "time", "site", "NA", "Owl"]
    assert wide.loc[0, "Owl"] == 0.9
    Path("out").unlink()
    assert detections("parquet") == 0
    assert len(pd.read_parquet("out")) == len(SCORES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("raven",), "say from which score on, as in --threshold 0.5"),
        (("wide", "--threshold", "0.5"), "leave out --threshold"),
    ],
)
def test_a_threshold_is_neither_guessed_nor_ignored(detections, capsys, options, message):
    assert detections(*options) == 1
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_several_models_of_a_class_are_not_mixed(detections, capsys):
    with open("scores.csv", "a") as file:
        file.write("in/x/a.wav,0,2,birds,Owl,badge,0,0.5,\n")
    assert detections("csv", "--threshold", "0.5") == 1
    assert "several models of 'Owl' (birds/random and birds/badge)" in capsys.readouterr().err
