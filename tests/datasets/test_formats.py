"""Lists in the formats of other tools: what their rows mean, and what is known where none is."""

import json
import math
import random
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import scipy.io

from weakneg.config import load as config
from weakneg.config.classes import class_names, questions
from weakneg.config.stages import AcquireSettings, ListSettings
from weakneg.datasets import formats, recordings
from weakneg.datasets.formats import Table
from weakneg.errors import UserError
from weakneg.workspace.results import Results

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
BIRDNET = "Start (s),End (s),Scientific name,Common name,Confidence,File"
STUDY = """\
title: Mine
dataset: {name: recordings, list: LIST, folder: sounds}
audio: {clip_seconds: 1.0, mel_bins: 32}
model: {name: cnn}
strategies: [random]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file below an empty working directory; returns its path."""
    monkeypatch.chdir(tmp_path)
    for function in (recordings._rows, recordings.recordings, class_names):
        function.cache_clear()

    def write_file(path: str, *lines: str) -> str:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write_file


def said(path: str, **options) -> list[tuple]:
    """Id, labels and times of the rows of a list that is recognised by its content."""
    table = Table(path, **{"format": formats.recognise(path)} | options)
    return [(row.id, *row.labels, row.times) for row in formats.rows(table)]


# ---- Raven ---------------------------------------------------------------------------------------
def test_the_views_of_a_selection_are_one_event_and_any_column_may_hold_the_labels(write):
    write(
        "tables/night.Table.1.selections.txt",
        f"{RAVEN}\tWho?",
        "1\tSpectrogram 1\t1\t1\t2.5\t500\t900\tOwl",
        "1\tWaveform 1\t1\t1\t2.5\t\t\tOwl",
        "2\tSpectrogram 1\t1\t4\t5\t500\t900",  # an editor has removed the tab of the blank label
    )
    assert said("tables") == [("night", "Owl", (1.0, 2.5)), ("night", (4.0, 5.0))]


def test_a_column_without_a_name_does_not_matter(write):
    """As pandas writes row numbers."""
    path = write(
        "night.txt",
        f"\t{RAVEN}\tWho?",
        "0\t1\tSpectrogram 1\t1\t1\t2.5\t500\t900\tOwl",
        "1\t1\tWaveform 1\t1\t1\t2.5\t\t\tOwl",
    )
    assert said(path) == [("night", "Owl", (1.0, 2.5))]


def test_a_table_over_several_files_is_read_by_file_offset(write):
    header = f"{RAVEN}\tBegin File\tEnd File\tFile Offset (s)\tSpecies"
    path = write(
        "night.txt",
        header,
        "1\tSpectrogram 1\t1\t10\t12\t1\t2\ta.wav\ta.wav\t10\tOwl",
        "2\tSpectrogram 1\t1\t59\t62\t1\t2\ta.wav\tb.wav\t59\tFox",  # b.wav starts after 60 s
        "3\tSpectrogram 1\t1\t70\t71\t1\t2\tb.wav\tb.wav\t10\tOwl",
    )
    assert said(path) == [
        ("a.wav", "Owl", (10.0, 12.0)),
        ("a.wav", "Fox", (59.0, 62.0)),
        ("b.wav", "Fox", (0.0, 2.0)),
        ("b.wav", "Owl", (10.0, 11.0)),
    ]
    path = write("part.txt", header, "1\tSpectrogram 1\t1\t59\t62\t1\t2\ta.wav\tb.wav\t59\tFox")
    with pytest.raises(UserError, match=r"part.txt, line 2: .* continues in b.wav"):
        said(path)


PATHS = f"{RAVEN}\tBegin Path\tBegin File\tEnd File\tFile Offset (s)\tSpecies"


def in_sites(*selections: tuple[str, float, float, str, str]) -> list[str]:
    """A table over one minute of each of two sites, whose recorders write the same names."""
    path = "D:\\bio\\sounds\\{}\\a.wav\ta.wav\t{}\t{}"
    return [
        PATHS,
        *(
            f"1\tS\t1\t{onset}\t{offset}\t1\t2\t{path.format(site, end, onset % 60)}\t{label}"
            for site, onset, offset, end, label in selections
        ),
    ]


def test_recordings_of_one_name_are_told_apart_by_begin_path(write):
    """Also where each has the first selection of a table of its own, before these were merged."""
    lines = in_sites(("x", 1, 2, "a.wav", "Owl"), ("y", 61, 62, "a.wav", "Owl"))
    path = write("all.txt", *lines, lines[1].replace("sounds\\x", "sounds\\z"))
    assert said(path, folder="../sounds") == [
        (f"{site}/a.wav", "Owl", (1.0, 2.0)) for site in ("x", "y", "z")
    ]


def test_a_folder_of_the_same_name_inside_the_folder_is_part_of_begin_path(write, tmp_path):
    write(
        "all.txt", *in_sites(("2020\\sounds", 1, 2, "a.wav", "Owl"), ("x", 61, 62, "a.wav", "Owl"))
    )
    folder = tmp_path / "sounds"
    (folder / "2020/sounds").mkdir(parents=True)
    (folder / "2020/sounds/a.wav").touch()
    found = said("all.txt", folder=str(folder))
    assert [name for name, *_ in found] == ["2020/sounds/a.wav", "x/a.wav"]


def test_a_selection_continues_in_the_file_beside_the_one_in_which_it_begins(write):
    crossing = ("x", 59, 62, "b.wav", "Owl")
    there = [
        line.replace("a.wav", "b.wav")
        for line in in_sites(("x", 70, 71, "b.wav", "Fox"), ("y", 130, 131, "b.wav", "Fox"))[1:]
    ]
    path = write("all.txt", *in_sites(crossing), *there)
    assert said(path, folder="sounds")[:2] == [
        ("x/a.wav", "Owl", (59.0, 62.0)),
        ("x/b.wav", "Owl", (0.0, 2.0)),
    ]


def test_an_empty_table_is_a_recording_in_which_nothing_was_marked(write):
    write("tables/a.Table.1.selections.txt", f"{RAVEN}\tSpecies")
    write("tables/b.Table.1.selections.txt", f"{RAVEN}\tSpecies", "1\tS\t1\t0\t1\t1\t2\tOwl")
    assert said("tables") == [("a", None), ("b", "Owl", (0.0, 1.0))]


def test_a_recording_named_with_and_without_suffix_is_one(write):
    write("tables/a.Table.1.selections.txt", f"{RAVEN}\tBegin File\tSpecies")
    write("tables/b.txt", f"{RAVEN}\tBegin File\tSpecies", "1\tS\t1\t0\t1\t1\t2\ta.wav\tOwl")
    assert said("tables") == [("a.wav", None), ("a.wav", "Owl", (0.0, 1.0))]


def test_the_study_says_which_of_several_columns_holds_the_labels(write):
    path = write("a.txt", f"{RAVEN}\tSpecies\tCall", "1\tS\t1\t0\t1\t1\t2\tOwl\thoot")
    with pytest.raises(UserError, match="Species or Call"):
        said(path)
    assert said(path, columns=(("labels", "Call"),)) == [("a", "hoot", (0.0, 1.0))]


def test_birdnet_writes_a_selection_called_nocall_where_it_detects_nothing(write):
    header = f"{RAVEN}\tCommon Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)"
    path = write(
        "all.txt",
        header,
        "1\tS\t1\t0\t3\t0\t15000\tnocall\tnocall\t1.0\tC:\\my\\sounds\\site 1\\a.wav\t0",
        "2\tSpectrogram 1\t1\t63\t66\t0\t15000\tRobin\teurrob1\t0.9\t/my/sounds/b.wav\t3",
    )
    assert said(path, min_confidence=0.5, folder="../sounds") == [
        ("site 1/a.wav", (0.0, 3.0)),
        ("b.wav", "Robin", (3.0, 6.0)),
    ]


# ---- Audacity ------------------------------------------------------------------------------------
def test_label_tracks_have_points_frequencies_and_may_be_empty(write):
    write("tracks/a.txt", "1.000000\t1.000000\tOwl", "\\\t-1.0\t900.5", "2.0\t3.5\tFox; Owl")
    write("tracks/b.txt")
    assert said("tracks") == [
        ("a", None),
        ("a", "Owl", (1.0, 1.0)),
        ("a", "Fox", "Owl", (2.0, 3.5)),
        ("b", None),
    ]


def test_two_tracks_for_one_recording_are_told_apart_by_their_paths(write):
    for site in ("x", "y"):
        write(f"tracks/{site}/a.txt", f"0\t1\t{site}")
    with pytest.raises(UserError, match="file_suffix"):
        said("tracks")
    assert [row[0] for row in said("tracks", file_suffix=".wav")][1::2] == ["x/a.wav", "y/a.wav"]


def test_a_label_may_hold_more_commas_and_semicolons_than_tabs(write):
    write("tracks/a.txt", "0.5\t1.2\tRobin;Wren;Owl;Fox")
    write("tracks/b.txt", "0.5\t1.2\tRobin, male, song, loud")
    assert said("tracks")[1::2] == [
        ("a", "Robin", "Wren", "Owl", "Fox", (0.5, 1.2)),
        ("b", "Robin, male, song, loud", (0.5, 1.2)),
    ]


# ---- names of recordings -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("table", "recording"),
    [
        ("671387690.180718000003.Table.1.selections.txt", "671387690.180718000003"),  # SoundTrap
        ("671387690.180718000003.txt", "671387690.180718000003"),
        ("night.1.Table.12.selections.txt", "night.1"),
        ("night.BirdNET.selection.table.txt", "night"),
    ],
)
def test_a_table_is_about_the_recording_whose_name_it_begins_with(write, table, recording):
    write(f"tables/{table}", f"{RAVEN}\tSpecies")
    assert said("tables") == [(recording, None)]


@pytest.mark.parametrize("kind", ["results", "results.r", "results.kaleidoscope"])
def test_results_of_birdnet_without_detections_are_about_a_recording(write, kind):
    header = "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name"
    write(f"results/rec1.BirdNET.{kind}.csv", header)
    assert said("results") == [("rec1", None)]


def birdnet_at(*paths: str) -> list[str]:
    return [BIRDNET, *(f"0,3,Strix aluco,Tawny Owl,0.9,{path}" for path in paths)]


def test_recordings_of_one_name_outside_of_the_folder_are_not_made_one(write):
    path = write("all.csv", *birdnet_at("/mnt/usb1/DATA/a.wav", "/mnt/usb2/DATA/a.wav"))
    with pytest.raises(UserError, match=r"line 2 and all.csv, line 3 are for 'a\.wav': .*'sounds'"):
        said(path, min_confidence=0, folder="../sounds")
    lines = in_sites(("x", 1, 2, "a.wav", "Owl"), ("y", 61, 62, "a.wav", "Fox"))
    path = write("all.txt", *lines)
    for folder in ("elsewhere", "sounds/x", "sounds/y"):
        with pytest.raises(UserError, match=r"line 2 and all.txt, line 3 are for 'a\.wav'"):
            said(path, folder=folder)


def test_one_recording_may_be_named_on_several_computers_and_in_several_tables(write):
    same = ("/home/me/sounds/x/a.wav", "D:\\sounds\\x\\a.wav", "x/a.wav", "sounds/x/a.wav")
    found = said(write("all.csv", *birdnet_at(*same)), min_confidence=0, folder="sounds")
    assert {row[0] for row in found} == {"x/a.wav"}
    for number in (1, 2):
        write(f"tables/a.Table.{number}.selections.txt", f"{RAVEN}\tSpecies")
    assert said("tables") == [("a", None)] * 2


def test_files_in_two_folders_about_one_name_are_not_made_one(write):
    pytest.importorskip("jams")
    pytest.importorskip("praatio")
    tables = {
        "raven/{}/a.Table.1.selections.txt": [f"{RAVEN}\tSpecies", "1\tS\t1\t0\t1\t1\t2\tOwl"],
        "textgrid/{}/a.TextGrid": textgrid(tier("TextTier", "x", 'number = 1|mark = "Owl"')),
        "jams/{}/a.jams": [jams(("tag_open", [(0, 1, "Owl", None)]))],
        "birdnet/{}/a.BirdNET.results.csv": [BIRDNET],
    }
    for path, lines in tables.items():
        for folder in (".", "y"):
            write(path.format(folder), *lines)
        name = path.split("/")[0]
        with pytest.raises(UserError, match=r"are for 'a': .*file_suffix"):
            said(name)
        found = said(name, file_suffix=".wav")
        assert {row[0] for row in found} == {"a.wav", "y/a.wav"}


# ---- files that are tables -----------------------------------------------------------------------
def test_what_birdnet_and_this_project_write_beside_tables_is_not_one(write):
    write("results/BirdNET_analysis_params.csv", "File splitting duration,Segment length", "600,3")
    write("results/_thresholds.csv", "class,threshold")
    write("results/a.BirdNET.results.csv", *birdnet_at("a.wav"))
    assert said("results", min_confidence=0) == [("a.wav", "Tawny Owl", (0.0, 3.0))]


def test_names_of_recordings_may_begin_with_an_underscore(write):
    write("tracks/_20190831_063000.txt", "0\t1\tOwl")
    assert said("tracks")[1:] == [("_20190831_063000", "Owl", (0.0, 1.0))]


def test_values_that_excel_and_r_quote_are_the_same_classes(write):
    for name, label in (("a", '"Owl, male"'), ("b", "Owl, male"), ("c", '"the ""big"" owl"')):
        write(f"tables/{name}.txt", f"{RAVEN}\tSpecies", f"1\tS\t1\t0\t1\t1\t2\t{label}")
    labels = [label for _, label, _ in said("tables")]
    assert labels == ["Owl, male", "Owl, male", 'the "big" owl']
    header = '"filename"\t"onset"\t"offset"\t"event_label"'
    path = write("r.tsv", header, '"a.wav"\t1\t2\t"Owl"', 'a.wav\t3\t4\t"so" or "so"')
    assert said(path) == [("a.wav", "Owl", (1.0, 2.0)), ("a.wav", '"so" or "so"', (3.0, 4.0))]


# ---- tables of data sets -------------------------------------------------------------------------
def test_dcase_tables_name_recordings_without_events(write):
    header = "filename\tonset\toffset\tevent_label"
    strong = write("strong.tsv", header, "a.wav\t0.5\t2\tSpeech", "b.wav\t\t\t")
    assert said(strong) == [("a.wav", "Speech", (0.5, 2.0)), ("b.wav", None)]
    weak = write("weak.tsv", "filename\tevent_labels", "a.wav\tSpeech,Dog")
    assert said(weak) == [("a.wav", "Speech", "Dog", None)]


def test_commas_separate_the_labels_of_fsd50k_and_its_tables_are_splits(write):
    write("truth/dev.csv", "fname,labels,mids,split", '64760,"Electric_guitar,Guitar","x,y",val')
    write("truth/eval.csv", "fname,labels,mids", "37199,Guitar,y")
    write("truth/vocabulary.csv", "0,Guitar,y")
    table = Table("truth", "fsd50k")
    assert [(row.id, row.file, row.labels, row.split) for row in formats.rows(table)] == [
        ("64760", "", ("Electric_guitar", "Guitar"), "train"),
        ("37199", "", ("Guitar",), "test"),
    ]
    alone = formats.rows(Table("truth/dev.csv", "fsd50k", file_suffix=".wav"))
    assert [(row.file, row.split) for row in alone] == [("64760.wav", "test")]


def test_folds_and_groups_of_esc50_and_urbansound8k(write):
    esc = write(
        "esc50.csv",
        "filename,fold,target,category,esc10,src_file,take",
        *("1-1-A-0.wav,1,0,dog,True,1,A", "1-1-B-0.wav,1,0,dog,True,1,B"),
        "2-2-A-1.wav,2,1,rooster,True,2,A",
    )
    found = recordings.recordings(Table(esc, formats.recognise(esc)), "2")
    assert [(each["split"], each["group"]) for each in found] == [
        *[("train", "1")] * 2,
        ("test", "2"),
    ]
    urban = write(
        "UrbanSound8K.csv",
        "slice_file_name,fsID,start,end,salience,fold,classID,class",
        "7-3-0-0.wav,7,58.5,62.5,1,1,3,dog_bark",
        "7-3-0-1.wav,7,63,67,1,2,3,dog_bark",  # the same source in another fold
    )
    found = recordings.recordings(Table(urban, formats.recognise(urban)), "2")
    assert [(each["file"], each["split"], each["events"]) for each in found] == [
        ("fold1/7-3-0-0.wav", "train", []),
        ("fold2/7-3-0-1.wav", "test", []),
    ]


def test_audioset_names_segments_and_its_framed_tables_what_is_absent(write):
    header = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel"
    strong = write("strong.tsv", header, "YxlGt805lTA_30000\t2.627\t7.237\t/m/053hz1")
    assert said(strong) == [("YxlGt805lTA_30000", "/m/053hz1", (2.627, 7.237))]
    framed = write(
        "framed.tsv",
        f"{header}\tpresent",
        "a_0\t0\t0.96\tx\tPRESENT",
        "a_0\t0\t0.96\ty\tNOT_PRESENT",
    )
    assert formats.load("audioset_strong").annotated(Table(framed)) == "listed"
    _, absent = formats.rows(Table(framed, "audioset_strong"))
    assert (absent.labels, absent.negatives, absent.times) == ((), ("y",), (0.0, 0.96))


def test_results_of_birdnet_need_a_threshold(write):
    path = write(
        "all.csv",
        BIRDNET,
        "0.0,3.0,Erithacus rubecula,European Robin,0.9000,/data/sounds/a.wav",
        "3.0,6.0,Strix aluco,Tawny Owl,0.2000,/data/sounds/a.wav",
    )
    with pytest.raises(UserError, match=r"confidences from 0\.2 to 0\.9: .*min_confidence"):
        said(path)
    options = {"annotated": "listed", "folder": "sounds"}
    assert said(path, min_confidence=0.5, **options) == [
        ("a.wav", "European Robin", (0.0, 3.0)),
        ("a.wav", (3.0, 6.0)),
    ]
    other = write(
        "kaleidoscope.csv",
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence",
        "/data,sounds,a.wav,3.0,3.0,Strix aluco,Tawny Owl,0.9",
    )
    assert said(other, min_confidence=0) == [("a.wav", "Tawny Owl", (3.0, 6.0))]


# ---- formats that libraries read -----------------------------------------------------------------
def textgrid(*tiers: str) -> list[str]:
    """Lines of a TextGrid of 4 seconds, as Praat writes it."""
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", "xmax = 4 "]
    return [*head, "tiers? <exists> ", f"size = {len(tiers)} ", "item []: ", *tiers]


def tier(kind: str, name: str, *entries: str) -> str:
    fields = [f'    class = "{kind}" ', f'    name = "{name}" ', "    xmin = 0 ", "    xmax = 4 "]
    what = "intervals" if kind == "IntervalTier" else "points"
    fields.append(f"    {what}: size = {len(entries)} ")
    for number, entry in enumerate(entries, 1):
        fields += [f"    {what} [{number}]:", *(f"        {field} " for field in entry.split("|"))]
    return "\n".join(["    item [1]:", *fields])


def test_blank_intervals_of_a_textgrid_are_no_labels_and_points_have_no_length(write):
    pytest.importorskip("praatio")
    intervals = tier(
        "IntervalTier",
        "species",
        *('xmin = 0|xmax = 1.5|text = ""', 'xmin = 1.5|xmax = 2.25|text = "Owl"'),
        *('xmin = 2.25|xmax = 3|text = "  "', 'xmin = 3|xmax = 4|text = "Fox; Owl"'),
    )
    unused = tier("IntervalTier", "notes", 'xmin = 0|xmax = 4|text = ""')
    write("grids/a.TextGrid", *textgrid(intervals, unused))
    blank = tier("IntervalTier", "species", 'xmin = 0|xmax = 4|text = ""')
    write("grids/b.TextGrid", *textgrid(blank))
    points = tier("TextTier", "species", 'number = 0.5|mark = "Owl"')
    write("grids/c.textgrid", *textgrid(points))
    found = said("grids")
    assert found == [
        ("a", None),
        ("a", "Owl", (1.5, 2.25)),
        ("a", "Fox", "Owl", (3.0, 4.0)),
        ("b", None),
        ("c", None),
        ("c", "Owl", (0.5, 0.5)),
    ]
    listed = formats.rows(Table("grids", "textgrid", annotated="listed"))
    assert {(row.id, *row.negatives, row.times) for row in listed if row.negatives} == {
        ("a", "Fox", (1.5, 2.25))
    }


def test_a_textgrid_in_utf16_keeps_quotes_and_line_breaks_of_a_label(write):
    pytest.importorskip("praatio")
    text = 'xmin = 0|xmax = 4|text = "the ""big""\nöwl"'
    lines = textgrid(tier("IntervalTier", "x", text))
    write("grids/a.TextGrid")
    Path("grids/a.TextGrid").write_text("\n".join(lines) + "\n", encoding="utf-16")
    assert said("grids")[1] == ("a", 'the "big"\nöwl', (0.0, 4.0))


def test_a_short_textgrid_may_begin_with_a_time_that_has_an_exponent(write):
    pytest.importorskip("praatio")
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "4", "<exists>", "1"]
    entries = ["0", "1e-05", '""', "1e-05", "4", '"Owl"']
    path = write("a.TextGrid", *head, '"IntervalTier"', '"x"', "0", "4", "2", *entries)
    assert said(path)[1:] == [("a", "Owl", (1e-05, 4.0))]


def test_the_study_says_which_tier_of_a_textgrid_holds_the_labels(write):
    pytest.importorskip("praatio")
    tiers = (tier("TextTier", name, f'number = 1|mark = "{name}"') for name in ("Species", "Call"))
    path = write("a.TextGrid", *textgrid(*tiers))
    with pytest.raises(UserError, match="is it Call or Species"):
        said(path)
    assert said(path, columns=(("labels", "Call"),))[1] == ("a", "Call", (1.0, 1.0))
    with pytest.raises(UserError, match=r"no tier 'Bird' \(found: Species, Call\)"):
        said(path, columns=(("labels", "Bird"),))


def test_segments_of_evsonganaly_are_in_milliseconds_and_a_dash_is_no_label(write):
    write("songs/bird 1.wav.not.mat")
    write("songs/gy6or6_0808.138.cbin.not.mat")
    write("songs/one.wav.not.mat")
    several = {"onsets": [[100.0], [250.5], [900.0]], "offsets": [[200.0], [300.0], [950.0]]}
    scipy.io.savemat("songs/bird 1.wav.not.mat", {**several, "labels": "a-i"})
    empty = np.empty((0, 0))
    scipy.io.savemat(
        "songs/gy6or6_0808.138.cbin.not.mat", {"onsets": empty, "offsets": empty, "labels": ""}
    )
    scipy.io.savemat("songs/one.wav.not.mat", {"onsets": 10.0, "offsets": 20.0, "labels": "b"})
    assert said("songs") == [
        ("bird 1.wav", None),
        ("bird 1.wav", "a", (0.1, 0.2)),
        ("bird 1.wav", (0.2505, 0.3)),
        ("bird 1.wav", "i", (0.9, 0.95)),
        ("gy6or6_0808.138", None),  # a WAV file made from it
        ("one.wav", None),
        ("one.wav", "b", (0.01, 0.02)),
    ]


def jams(*annotations: tuple[str, list[tuple]]) -> str:
    return json.dumps(
        {
            "annotations": [
                {
                    "namespace": namespace,
                    "data": [
                        dict(zip(("time", "duration", "value", "confidence"), each, strict=True))
                        for each in observations
                    ],
                    "annotation_metadata": {},
                    "sandbox": {},
                    "time": 0,
                    "duration": 10.0,
                }
                for namespace, observations in annotations
            ],
            "file_metadata": {"duration": 10.0, "jams_version": "0.3.4"},
            "sandbox": {},
        }
    )


def test_jams_hold_labels_of_several_people_and_other_namespaces(write):
    pytest.importorskip("jams")
    beats = ("beat", [(0.5, 0.0, 1, None)])
    first, second = ("tag_open", [(0, 10, "Owl", 0.4)]), ("tag_open", [(2, 1, "Fox", 1.0)])
    write("jams/a.jams", jams(beats, first, second))
    write("jams/b.jams", jams(("tag_open", [])))
    with pytest.raises(UserError, match=r"confidences from 0\.4 to 0\.4: .*min_confidence"):
        said("jams")
    assert said("jams", min_confidence=0.5, annotated="listed") == [
        ("a", None),
        ("a", (0.0, 10.0)),
        ("a", "Fox", (2.0, 3.0)),
        ("b", None),
    ]
    path = write("c.jams", jams(first, ("segment_open", [(0, 5, "verse", None)])))
    with pytest.raises(UserError, match="is it segment_open or tag_open"):
        said(path)
    columns = (("labels", "segment_open"),)
    assert said(path, columns=columns)[1:] == [("c", "verse", (0.0, 5.0))]


def test_events_of_scaper_have_their_labels_in_dictionaries(write):
    pytest.importorskip("jams")
    events = [(0.0, 10.0, {"label": "park", "role": "background"}, 1.0)]
    events.append((2.5, 1.5, {"label": "siren", "role": "foreground"}, 1.0))
    path = write("street.jams", jams(("scaper", events)))
    assert said(path)[1:] == [("street", "park", (0.0, 10.0)), ("street", "siren", (2.5, 4.0))]


def aoef(kind: str = "annotation_set", tag: str = "species", states=(), expansion=1.0) -> str:
    """An owl and a fox in the first 10 s of a minute; nothing in a second clip, from 20 s on."""
    ids = (str(UUID(int=number)) for number in range(1, 100))
    sound, a, b, *events, project = (next(ids) for _ in range(8))
    shapes = [
        {"type": "BoundingBox", "coordinates": [1.0, 400.0, 2.5, 900.0]},
        {"type": "LineString", "coordinates": [[4.0, 100.0], [5.5, 900.0], [6.0, 200.0]]},
        {"type": "TimeStamp", "coordinates": 8.0},
        {"type": "TimeInterval", "coordinates": [9.0, 9.5]},
    ]
    tags = [[0], [1], [0], []]
    collection = {
        "uuid": project,
        "name": "night",
        "collection_type": kind,
        "tags": [
            {"id": 0, "key": tag, "value": "Owl"},
            {"id": 1, "key": "species", "value": "Fox"},
        ],
        "recordings": [
            {
                **{"uuid": sound, "path": "site 1/night.wav", "duration": 60.0, "channels": 1},
                **{"samplerate": 16000, "time_expansion": expansion},
            }
        ],
        "clips": [
            {"uuid": a, "recording": sound, "start_time": 0.0, "end_time": 10.0},
            {"uuid": b, "recording": sound, "start_time": 20.0, "end_time": 30.0},
        ],
        "sound_events": [
            {"uuid": event, "recording": sound, "geometry": shape}
            for event, shape in zip(events, shapes, strict=True)
        ],
        "sound_event_annotations": [
            {"uuid": event, "sound_event": event, "tags": each}
            for event, each in zip(events, tags, strict=True)
        ],
        "clip_annotations": [
            {"uuid": a, "clip": a, "sound_events": events},
            {"uuid": b, "clip": b, "tags": [1]},
        ],
        "tasks": [
            {"uuid": clip, "clip": clip, "status_badges": [{"state": state}] if state else []}
            for clip, state in zip((a, b), states, strict=False)
        ],
    }
    return json.dumps({"version": "1.1.0", "data": collection})


EVENTS = [
    ("site 1/night.wav", "Owl", (1.0, 2.5)),
    ("site 1/night.wav", "Fox", (4.0, 6.0)),
    ("site 1/night.wav", "Owl", (8.0, 8.0)),
    ("site 1/night.wav", (9.0, 9.5)),
]


def absences(path: str, **options) -> set[tuple]:
    table = Table(path, "aoef", annotated="listed", **options)
    return {(name, row.times) for row in formats.rows(table) for name in row.negatives}


def test_aoef_knows_clips_and_the_rest_of_the_recording_is_unknown(write):
    pytest.importorskip("soundevent")
    path = write("set.json", aoef())
    assert said(path) == [
        ("site 1/night.wav", (0.0, 10.0)),
        *EVENTS,
        ("site 1/night.wav", "Fox", (20.0, 30.0)),
    ]
    known = {("Owl", (0.0, 10.0)), ("Fox", (0.0, 10.0)), ("Owl", (20.0, 30.0))}
    assert known <= absences(path)
    assert max(offset for _, (_, offset) in absences(path)) == 30.0


def test_clips_of_an_aoef_project_are_known_once_they_are_completed(write):
    pytest.importorskip("soundevent")
    todo = write("todo.json", aoef("annotation_project", states=("assigned", "rejected")))
    assert said(todo) == [("site 1/night.wav", (0.0, 10.0)), *EVENTS]
    assert ("Owl", (0.0, 10.0)) not in absences(todo)
    done = write("done.json", aoef("annotation_project", states=("completed", "verified")))
    assert {("Owl", (0.0, 10.0)), ("Fox", (0.0, 10.0))} <= absences(done)


def test_a_tag_of_a_clip_that_is_not_completed_says_nothing_about_other_classes(write):
    pytest.importorskip("soundevent")
    path = write("half.json", aoef("annotation_project", states=("completed", "assigned")))
    assert said(path)[-1] == ("site 1/night.wav", "Fox", (20.0, 30.0))
    assert max(offset for _, (_, offset) in absences(path)) == 10.0


def test_a_tag_with_a_semicolon_is_named_with_its_file(write):
    pytest.importorskip("soundevent")
    path = write("set.json", aoef().replace("Fox", "Fox;Dog"))
    with pytest.raises(UserError, match=r"set\.json, .*night\.wav: the label 'Fox;Dog' holds ';'"):
        said(path)


def test_the_study_says_which_tags_of_aoef_are_labels(write):
    pytest.importorskip("soundevent")
    path = write("set.json", aoef(tag="call"))
    with pytest.raises(UserError, match="which tags are the labels: call or dwc:scientificName"):
        said(path)
    assert [row[1:-1] for row in said(path, columns=(("labels", "species"),)) if row[1:-1]] == [
        *[("Fox",)] * 2
    ]
    assert said(path, columns=(("labels", "call"),))[1] == EVENTS[0]


def test_times_of_expanded_recordings_in_aoef_are_asked_about(write):
    pytest.importorskip("soundevent")
    path = write("bats.json", aoef(expansion=10.0))
    with pytest.raises(UserError, match=r"expanded 10 times: say dataset\.times"):
        said(path)
    assert said(path, times="original")[1][-1] == (10.0, 25.0)


def test_other_files_of_soundevent_are_not_annotations(write):
    pytest.importorskip("soundevent")
    path = write("set.json", aoef("recording_set"))
    with pytest.raises(UserError, match=r"set\.json holds no annotations, but a RecordingSet"):
        said(path)


@pytest.mark.parametrize(
    ("file", "package", "extra"),
    [
        ("a.TextGrid", "praatio", "textgrid"),
        ("a.jams", "jams", "jams"),
        ("a.json", "soundevent", "aoef"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(write, monkeypatch, file, package, extra):
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"read by {package}, .* pip install -e '\.\[{extra}\]'"):
        said(write(file, "x"))


@pytest.mark.parametrize(
    ("file", "package"),
    [
        *(("a.TextGrid", "praatio"), ("a.jams", "jams"), ("a.json", "soundevent")),
        ("a.not.mat", "scipy"),
    ],
)
def test_what_a_library_cannot_read_is_one_sentence(write, file, package):
    pytest.importorskip(package)
    with pytest.raises(UserError) as error:
        said(write(file, "x"))
    message = str(error.value)
    assert message.startswith(f"{file} cannot be read by {package} (")
    assert "\n" not in message
    with pytest.raises(UserError, match=r"gone\..* cannot be read \(No such file"):
        said(file.replace("a.", "gone."))


def test_tables_take_precedence_over_other_files_in_their_folder(write):
    write("tables/a.txt", "0\t1\tOwl")
    write("tables/a.json", "{}")
    assert formats.recognise("tables") == "audacity"
    write("both/a.jams", "{}")
    write("both/a.json", "{}")
    with pytest.raises(UserError, match="say format: aoef or format: jams"):
        formats.recognise("both")


# ---- any other table -----------------------------------------------------------------------------
def test_a_study_names_the_columns_of_any_table(write):
    path = write("mine.csv", "clip;who;from;for", "a;Owl,Fox;1.5;2")
    columns = (("file", "clip"), ("labels", "who"), ("onset", "from"), ("duration", "for"))
    options = {"format": "table", "columns": columns, "separator": ",", "file_suffix": ".wav"}
    assert said(path, **options) == [("a.wav", "Owl", "Fox", (1.5, 3.5))]
    path = write("headless.txt", "audio/a.wav\tstreet\t1.5\t2.5\tcar")  # DCASE 2016, task 3
    columns = (("file", 1), ("labels", 5), ("onset", 3), ("offset", 4))
    assert said(path, format="table", columns=columns) == [("audio/a.wav", "car", (1.5, 2.5))]


def test_a_missing_column_is_named(write):
    path = write("mine.csv", "clip,who", "a.wav,Owl")
    with pytest.raises(UserError, match=r"no column 'species' \(found: clip, who\)"):
        said(path, format="table", columns=(("file", "clip"), ("labels", "species")))


def test_times_of_expanded_recordings_are_asked_about(write):
    path = write("bats.txt", f"{RAVEN}\tTime_exp\tSpecies", "1\tS\t1\t0.1\t0.2\t1\t2\t10\tPippip")
    with pytest.raises(UserError, match=r"expanded 10 times: say dataset\.times"):
        said(path)
    assert said(path, times="recording")[0][-1] == (0.1, 0.2)
    assert said(path, times="original")[0][-1] == (1.0, 2.0)


# ---- what is known where nothing is listed -------------------------------------------------------
def test_outside_of_listed_spans_nothing_is_known(write):
    write("tracks/a.txt", "0\t4\tOwl", "3\t6\tFox", "9\t9.5\t")
    rows = formats.rows(Table("tracks", "audacity", annotated="listed"))
    absent = {(name, row.times) for row in rows for name in row.negatives}
    assert absent == {("Owl", (4.0, 6.0)), ("Fox", (0.0, 3.0))}
    rows = formats.rows(Table("tracks", "audacity"))
    assert not any(row.negatives for row in rows)


def test_a_label_that_is_not_confident_is_neither_present_nor_absent(write):
    path = write(
        "all.csv",
        BIRDNET,
        *("0,3,x,Robin,0.9,a.wav", "0,3,y,Owl,0.2,a.wav", "6,9,y,Owl,0.8,a.wav"),
    )
    table = Table(path, "birdnet", annotated="listed", min_confidence=0.5)
    absent = {(name, row.times) for row in formats.rows(table) for name in row.negatives}
    assert absent == {("Robin", (6.0, 9.0))}


def test_a_label_that_is_not_confident_does_not_become_a_negative(write):
    path = write("all.csv", BIRDNET, "0,3,x,Robin,0.9,a.wav", "0,3,y,Owl,0.2,a.wav")
    table = Table(path, "birdnet", annotated="whole", min_confidence=0.5)
    with pytest.raises(UserError, match=r"confidences below 0\.5, .*say annotated: listed"):
        formats.rows(table)
    assert len(formats.rows(table._replace(min_confidence=0.2))) == 2


def random_spans(draw: random.Random) -> list[tuple[float, float]]:
    onsets = [draw.randint(0, 30) for _ in range(draw.randint(0, 8))]
    return formats._joined((onset, onset + draw.randint(0, 6)) for onset in onsets)


def test_what_is_left_of_spans_is_what_is_in_no_hole():
    draw = random.Random(0)
    for _ in range(2000):
        spans, holes = random_spans(draw), random_spans(draw)
        left = formats._without(spans, holes)
        for half in range(80):
            time = half / 2 + 0.25
            inside = [any(a <= time <= b for a, b in each) for each in (spans, holes, left)]
            assert inside[2] == (inside[0] and not inside[1])
        assert all(not a < begin < b for a, b in left for begin, _ in holes)  # points divide, too


class Counted(float):
    """A number that counts how often it is compared."""

    compared = 0

    def __lt__(self, other):
        Counted.compared += 1
        return float(self) < float(other)

    def __gt__(self, other):
        Counted.compared += 1
        return float(self) > float(other)


def test_the_work_for_a_recording_grows_as_its_selections_do():
    spans = [(Counted(3 * each), Counted(3 * each + 2)) for each in range(500)]
    holes = [(Counted(a + 0.5), Counted(a + 1)) for a, _ in spans]
    assert len(formats._without(spans, holes)) == 1000
    assert Counted.compared < 10 * len(spans)


def test_labels_of_whole_recordings_are_known_in_all_of_them(write):
    path = write("mine.csv", "clip,who", "a.wav,Owl", "b.wav,Fox")
    columns = (("file", "clip"), ("labels", "who"))
    table = Table(path, "table", columns, annotated="listed")
    first, second = formats.rows(table)[2:]
    assert (first.negatives, first.times) == (("Fox",), (0.0, math.inf))
    assert second.negatives == ("Owl",)


# ---- the study -----------------------------------------------------------------------------------
def tracks(write) -> None:
    for number in range(40):
        write(f"tracks/r{number}.txt", f"0\t2\t{'Owl' if number % 2 else 'Fox'}")


def test_a_study_says_how_it_reads_a_list(write):
    tracks(write)
    study = config.load_study(write("./mine.yaml", STUDY.replace("LIST", "tracks")))
    dataset = study.dataset
    assert (dataset.format, dataset.annotated, dataset.unlisted) == (
        "audacity",
        "listed",
        "unknown",
    )
    (line,) = questions(dataset)
    assert line.startswith("tracks: format audacity, annotated listed: ")
    whole = STUDY.replace("LIST", "tracks, annotated: whole")
    study = config.load_study(write("./mine.yaml", whole))
    assert study.dataset.unlisted == "negative"


def test_jobs_read_the_list_as_the_study_does_and_sound_does_not_depend_on_labels(write):
    tracks(write)
    study = config.load_study(write("./mine.yaml", STUDY.replace("LIST", "tracks")))
    settings = ListSettings.of(study)
    assert settings.plugins == ["datasets.recordings", "formats.audacity"]
    assert ListSettings.model_validate_json(settings.text()).dataset.table == study.dataset.table
    whole = study.model_copy(
        update={"dataset": study.dataset.model_copy(update={"annotated": "whole"})}
    )
    assert AcquireSettings.of(study, "train", "000") == AcquireSettings.of(whole, "train", "000")


def test_files_that_are_not_tables_are_inputs_of_a_study(write):
    for number in range(40):
        path = write(f"songs/r{number}.wav.not.mat")
        label = "a" if number % 2 else "b"
        scipy.io.savemat(path, {"onsets": 0.0, "offsets": 500.0, "labels": label})
    write("songs/readme.md", "not a song")
    study = config.load_study(write("./mine.yaml", STUDY.replace("LIST", "songs")))
    assert study.classes == ["a", "b"]
    assert len(Results(study).data_files) == 40


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("list: own.csv, min_confidence: 0.5", "dataset.min_confidence: own.csv is a list with"),
        ("list: own.csv, annotated: listed", "use unlisted instead"),
        ("list: tracks, format: ravn", "did you mean 'raven'?"),
        ("list: tracks, columns: {labels: x}", "the format audacity knows this column"),
        ("list: tracks, format: table", "dataset.columns.file: is missing"),
        ("list: both.csv", "say format: fsd50k or format: own"),
        ("list: odd", "the format of the tables in odd is not recognised"),
    ],
)
def test_what_is_unclear_is_asked(write, dataset, message):
    tracks(write)
    write("own.csv", "file,labels", "a.wav,Owl")
    write("both.csv", "file,labels,fname,mids", "a.wav,Owl,a,b")
    write("odd/a.txt", "what is this")
    text = STUDY.replace("list: LIST", dataset)
    with pytest.raises(UserError) as error:
        config.load_study(write("./mine.yaml", text))
    assert message in str(error.value)
