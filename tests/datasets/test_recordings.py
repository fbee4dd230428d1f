"""A person's own recordings: what the list may say, and what becomes of folders as they are."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from by_position import compute_shard
from workspace import ROOT

from weakneg.analysis.selections import read_clips
from weakneg.audio.acquire import acquire
from weakneg.audio.recordings import list_recordings, read_recordings
from weakneg.bags.manifest import list_clips, read_bags
from weakneg.bags.split import split_validation
from weakneg.config import load as config
from weakneg.config.classes import class_names, class_slug
from weakneg.config.source import SHARD_SIZE
from weakneg.config.stages import (
    AcquireSettings,
    FeaturesSettings,
    ListSettings,
    ShardSettings,
)
from weakneg.config.study import Study
from weakneg.datasets import recordings
from weakneg.errors import UserError
from weakneg.features.from_shards import join as join_features
from weakneg.features.store import read_store
from weakneg.workspace.results import Results
from weakneg.workspace.start import ask_about_classes

RATE = 16_000
STUDY = """\
title: Mine
dataset: {name: recordings, list: list.csv, folder: sounds}
audio: {clip_seconds: 1.0, mel_bins: 32}
model: {name: cnn}
strategies: [random, margin]
"""


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Writes list.csv into an empty working directory: of text, bytes, or rows below a header."""
    monkeypatch.chdir(tmp_path)
    for function in (recordings._rows, recordings.recordings, class_names):
        function.cache_clear()

    def write(content, header="file,labels") -> str:
        if isinstance(content, list):
            content = "\n".join([header, *content]) + "\n"
        if isinstance(content, str):
            content = content.encode()
        Path("list.csv").write_bytes(content)
        return "list.csv"

    yield write
    for function in (recordings._rows, recordings.recordings, class_names):
        function.cache_clear()


def read(list_file: str, test_split: str = "test") -> dict[str, dict]:
    return {row["file"]: row for row in recordings.recordings(list_file, test_split)}


def message(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ----------------------------------------------------------------------------- the list
def test_labels_are_separated_by_semicolons_and_may_hold_anything_else(listed):
    file = listed(
        ["a.wav,Dog; Rain ;Dog,train", 'b.wav,"Speech, ""male"";Café ねこ",test', "c.wav,,train"],
        "file,labels,split",
    )
    assert {name: row["labels"] for name, row in read(file).items()} == {
        "a.wav": ["Dog", "Rain"],
        "b.wav": ['Speech, "male"', "Café ねこ"],
        "c.wav": [],
    }
    assert recordings.read_classes(file) == ("Café ねこ", "Dog", "Rain", 'Speech, "male"')


def test_a_list_of_a_spreadsheet_is_read(listed):
    """With a byte-order mark, carriage returns, empty lines and columns, and others of its own."""
    text = "\ufeffFile,Notes,Labels, Split ,\r\na.wav,x,Dog,train,\r\n,,,,\r\nb.wav,,Dog,test,\r\n"
    assert [row["split"] for row in read(listed(text)).values()] == ["train", "test"]


NAMES = ["-x.wav", "--help", " a b.wav ", "ねこ/naïve.wav", "$(x);'y'.wav", "@7", "%s{0}.wav"]


def test_names_of_files_are_taken_as_they_are(listed, tmp_path):
    with open(tmp_path / "list.csv", "w", newline="", encoding="utf-8") as file:
        rows = [("Dog", name, "test" if name == NAMES[0] else "train") for name in NAMES]
        csv.writer(file).writerows([("labels", "file", "split"), *rows])
    assert list(read("list.csv")) == NAMES


def test_rows_of_one_file_are_one_recording(listed):
    file = listed(["a/b.wav,Dog,train", "./a//b.wav,Cat,", "c.wav,Dog,test"], "file,labels,split")
    assert read(file)["a/b.wav"]["labels"] == ["Dog", "Cat"]
    assert recordings.split_sizes(file, "test") == {"train": 1, "test": 1}


def test_events_have_times_and_their_recording_has_their_labels(listed):
    file = listed(
        ["a.wav,Dog;Cat,1,2.5,train", "a.wav,Dog,4,5,", "a.wav,,,,", "b.wav,Dog,,,test"],
        "file,labels,onset,offset,split",
    )
    found = read(file)
    assert found["a.wav"]["events"] == [("Dog", 1, 2.5), ("Cat", 1, 2.5), ("Dog", 4, 5)]
    assert found["a.wav"]["labels"] == ["Dog", "Cat"]
    assert found["b.wav"]["events"] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "list.csv has no column file"),
        ("a.wav,Dog\nb.wav,Cat\n", "has no column file"),
        ("file;labels\na.wav;Dog\n", "separated by commas, must include file and labels"),
        ("file,label\na.wav,Dog\n", "has no column labels"),
        ("file,labels,onset\na.wav,Dog,1\n", "has no column offset"),
        ("file,labels,labels\na.wav,Dog,Cat\n", "has two columns labels"),
        ("file,labels\n", "lists no recordings"),
        ("file,labels\n\n,\n", "lists no recordings"),
        ("file,labels\na.wav,Dog,Cat\n", "line 2 has 3 values, the header has 2: quote values"),
        ("file,labels\n\na.wav\n", "line 3 has 1 values"),
        ('file,labels\na.wav,"x\ny"\nb.wav,"Dog\nc.wav,Cat\n', "line 4: unexpected end of data"),
        ('file,labels\na.wav,"the "big" dog"\n', "line 2: ',' expected after '\"'"),
        ("file,labels\n/etc/a.wav,Dog\n", "line 2: file is '/etc/a.wav'"),
        ("file,labels\nx/../../a.wav,Dog\n", "line 2: file is 'x/../../a.wav'"),
        ("file,labels\n,Dog\n", "line 2: file is ''"),
        ("file,labels\n.,Dog\n", "line 2: file is '.'"),
        ("file,labels,split\na.wav,Dog,dev\n", "'a.wav' has the split 'dev', allowed are"),
        ("file,labels,split\na.wav,A,test\na.wav,B,train\n", "line 3: 'a.wav' is in the splits"),
        ("file,labels,split\na.wav,A,train\nb.wav,B,train\n", "no recording is in the split test"),
        (
            "file,labels,group\na.wav,A,x\na.wav,B,y\n",
            "line 3: 'a.wav' is in the groups 'x' and 'y'",
        ),
        (
            "file,labels,split,group\na.wav,A,test,x\nb.wav,B,train,x\n",
            "the group 'x' is in both splits ('b.wav' is in train): give all of it the same split",
        ),
        ("file,labels\na.wav,D\xf6g\n".encode("latin-1"), "is not text in UTF-8"),
        ("file,labels\na.wav,Dog\n".encode("utf-16"), "is not text in UTF-8"),
    ],
)
def test_a_mistake_in_the_list_is_one_line_that_names_it(listed, content, words):
    error = message(read, listed(content))
    assert error.startswith("list.csv")
    assert words in error


@pytest.mark.parametrize(
    "times", ["2,1", "1,1", "-1,2", "one,2", "1,", ",2", "nan,2", "1,nan", "0,inf", '"1,5",2']
)
def test_times_that_are_none_are_named_with_their_line(listed, times):
    error = message(read, listed([f"a.wav,Dog,{times}"], "file,labels,onset,offset"))
    assert error.startswith("list.csv, line 2: onset is '")


@pytest.mark.parametrize(
    "rows", [["a.wav,Dog,1,2", "a.wav,Cat,,"], ["a.wav,Cat,,", "a.wav,Dog,1,2"]]
)
def test_labels_with_and_without_times_are_not_guessed_at(listed, rows):
    error = message(read, listed(rows, "file,labels,onset,offset"))
    assert error.startswith("list.csv, line 3: 'a.wav' has labels with and without onset")


def test_a_missing_list_is_named_with_its_key(listed):
    assert message(read, "nowhere.csv").startswith("dataset.list: nowhere.csv cannot be read")


# ----------------------------------------------------------------------------- splits
def test_without_a_column_a_quarter_is_for_testing_and_stays_so(listed):
    rows = [f"{number}.wav,Dog" for number in range(1000)]
    before = {name: row["split"] for name, row in read(listed(rows)).items()}
    assert Counter(before.values())["test"] == pytest.approx(250, abs=50)
    recordings._rows.cache_clear()
    recordings.recordings.cache_clear()
    after = {name: row["split"] for name, row in read(listed(["new.wav,Dog", *rows])).items()}
    assert {name: after[name] for name in before} == before


def test_a_group_is_drawn_as_one(listed):
    rows = [f"{number}.wav,Dog,night {number // 5}" for number in range(1000)]
    found = read(listed(rows, "file,labels,group")).values()
    of_group = {row["group"]: row["split"] for row in found}
    assert all(row["split"] == of_group[row["group"]] for row in found)
    assert Counter(of_group.values())["test"] == pytest.approx(50, abs=20)


def test_a_group_is_in_the_split_that_is_named_for_one_of_it(listed):
    rows = [row for n in range(9) for row in (f"a{n},A,,g{n}", f"b{n},A,test,g{n}")]
    rows += [row for n in range(9) for row in (f"c{n},A,train,h{n}", f"d{n},A,,h{n}")]
    for row in read(listed(rows, "file,labels,split,group")).values():
        assert row["split"] == {"g": "test", "h": "train"}[row["group"][0]]


FOLDS = [f"{fold}{label}{n}.wav,{label},{fold}" for fold in "abc" for label in "XY" for n in "12"]


def test_each_fold_can_be_the_test_split(listed):
    file = listed(FOLDS, "file,labels,split")
    for fold in "abc":
        tested = {name for name, row in read(file, fold).items() if row["split"] == "test"}
        assert tested == {name for name in read(file, fold) if name[0] == fold}
        assert recordings.split_sizes(file, fold) == {"train": 8, "test": 4}


def test_folds_must_be_there_and_named_throughout(listed):
    file = listed([*FOLDS, "z.wav,X,"], "file,labels,split")
    assert message(read, file, "d") == (
        "dataset.test_split: 'd' is not a split of list.csv: use one of its splits (a, b, c)."
    )
    assert message(read, file, "a").startswith("list.csv: 'z.wav' has no split")


# ----------------------------------------------------------------------------- the study
def study(dataset: str = "", lines: str = "", audio: str = "") -> Study:
    text = STUDY.replace("folder: sounds", f"folder: sounds{dataset}")
    text = text.replace("mel_bins: 32", f"mel_bins: 32, {audio}") if audio else text
    Path("mine.yaml").write_text(text + lines)
    return config.load_study("mine.yaml")


def test_a_study_has_the_classes_and_shards_of_its_list(listed):
    rows = [f"{n}.wav,Dog;Cat,{'test' if n < 3 else 'train'}" for n in range(510)]
    listed(rows, "file,labels,split")
    mine = study()
    assert mine.classes == ["Cat", "Dog"]
    assert mine.shards == {"train": ["000", "001"], "test": ["000"]}


@pytest.mark.parametrize(("key", "groups"), [("site", ["A", "B", "C"]), ("date", ["0", "1", "C"])])
def test_names_of_files_can_say_the_group(listed, key, groups):
    names = [f"{site}_2019083{n % 2}_0{n}0000.wav" for site in "ABC" for n in range(8)]
    rows = [f"{name},X;Y,{'test,C' if name[0] == 'C' else 'train,'}" for name in names]
    listed(rows, "file,labels,split,group")
    mine = study(f", group: {key}")
    found = mine.dataset.definition.recordings(*mine.dataset.own_list)
    assert sorted({row["group"][-1] for row in found}) == sorted(groups)
    sound = AcquireSettings.of(mine, "train", "000")
    assert sound.dataset.group is None, "the sound does not depend on groups"


def test_a_name_that_does_not_say_the_group_is_named(listed):
    listed(["A_20190831_010000.wav,X,train", "B.wav,X,test"], "file,labels,split")
    expected = (
        "neither the name nor the header of 'B.wav' says the site: name its group in the list"
    )
    assert expected in message(study, ", group: site")


def test_a_header_that_is_not_read_is_not_said_to_lack_the_group(listed):
    listed(["A_20190831_010000,X,train", "B,X,test"], "name,labels,split")
    columns = ", columns: {file: name, labels: labels, split: split}"
    said = message(study, f"{columns}, group: site")
    assert "the name 'B' does not say the site, and headers are not read" in said
    said = message(study, f"{columns}, group: site, file_suffix: .wav")
    assert "neither the name nor the header of 'B.wav' says the site" in said


def test_a_fold_is_named_in_the_study(listed):
    listed([row.replace(",a", ",1") for row in FOLDS], "file,labels,split")
    mine = study(", test_split: 1")
    settings = FeaturesSettings.model_validate(ListSettings.of(mine).model_dump())
    assert settings.dataset.test_split == "1"
    assert message(study).startswith("mine.yaml: list.csv: 'a")
    text = STUDY.replace("list: list.csv, folder: sounds", "test_split: a").replace(
        "recordings", "soundscapes"
    )
    Path("mine.yaml").write_text(text)
    expected = "mine.yaml: dataset.test_split: soundscapes does not use it: remove this key"
    assert message(config.load_study, "mine.yaml") == expected


def test_list_and_folder_may_be_beside_the_study(listed, tmp_path):
    listed(["a.wav,Dog,train", "b.wav,Dog,test"], "file,labels,split")
    for name in ("a.wav", "b.wav"):
        write(tmp_path / "owls" / "sounds" / name, tone())
    Path("list.csv").rename("owls/list.csv")
    Path("owls/mine.yaml").write_text(STUDY)
    (tmp_path / "elsewhere").mkdir()
    Path("elsewhere/other.yaml").write_text("title: Other\nextends: ../owls/mine.yaml\n")
    for path in ("owls/mine.yaml", "elsewhere/other.yaml"):
        mine = config.load_study(path)
        assert (mine.dataset.list, mine.dataset.folder) == ("owls/list.csv", "owls/sounds")
    assert len(features(mine, mine.dataset.folder)["train"].x) == 1


def test_parameters_of_jobs_do_not_depend_on_how_a_study_is_named(listed, tmp_path, monkeypatch):
    """Else the study would be computed again."""
    listed(["a.wav,Dog,train", "b.wav,Dog,test"], "file,labels,split")
    Path("mine.yaml").write_text(STUDY)
    Path("sounds").mkdir()
    Path("clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    first, second = map(config.load_study, (tmp_path / "mine.yaml", "../mine.yaml"))
    assert first.dataset.list == second.dataset.list
    assert first.dataset.folder == second.dataset.folder


ROWS = [
    *("a1,Owl;Owl,train", "a2,Dog,train", "a3,Dog,train", "a4,Cat,train", "a5,Dog;Cat,train"),
    *("b1,Dog;Cat,test", "b2,,test", "b3,Fox,test"),
]


def test_a_label_that_occurs_once_is_named_before_anything_runs(listed):
    listed(ROWS, "file,labels,split")
    assert message(study) == (
        "mine.yaml: classes: too few recordings of Fox (0 for training, 1 for testing), Owl (1 for "
        "training, 0 for testing): name only the other classes, use {top: n}, or change the split "
        "of some recordings in list.csv"
    )
    assert study(lines="classes: [Dog, Cat]\n").classes == ["Dog", "Cat"]


def test_the_classes_with_the_most_training_recordings(listed):
    listed(ROWS, "file,labels,split")
    assert study(lines="classes: {top: 1}\n").classes == ["Dog"]
    assert study(lines="classes: {top: 2}\n").classes == ["Dog", "Cat"]
    # Owl and Fox are in one split only.
    expected = "mine.yaml: classes: top: 3 is more than the number of classes (2)"
    assert message(lambda: study(lines="classes: {top: 3}\n")) == expected


def test_the_largest_classes_need_folders_of_their_own_too(listed):
    listed(["a,Dog bark;dog-bark,train", "b,Dog bark;dog-bark,test"], "file,labels,split")
    assert "would share a folder" in message(lambda: study(lines="classes: {top: 2}\n"))


def in_both_splits(names: list[str]) -> list[str]:
    text = ";".join(names)
    return [f'{split}.wav,"{text}",{split}' for split in ("train", "test")]


@pytest.mark.parametrize("written", ["003", "3", "'3'", "010", "0x3", "4", "1_0"])
@pytest.mark.parametrize("names", [["001", "002", "003", "004", "010"], ["1.5", "2.5"] * 3])
def test_a_number_that_may_be_meant_as_a_name_is_refused(listed, names, written):
    """YAML reads 003 as 3, which is the number of the fourth class, and 010 as 8."""
    listed(in_both_splits(names), "file,labels,split")
    error = message(lambda: study(lines=f"classes: [{written}]\n"))
    assert error.startswith("mine.yaml: classes[0]: ")
    assert "may be a class number or a name that was read as a number" in error
    quoted = error.partition("as in classes: [")[2].rstrip("]")
    assert study(lines=f"classes: [{quoted}]\n").classes == [quoted.strip("'")]


def test_the_name_that_a_number_was_written_as_is_offered(listed):
    listed(in_both_splits(["001", "003", "8", "010", "0"]), "file,labels,split")
    for written in ("003", "010", "8"):
        assert "put the name in quotes, as in classes: ['0" in message(
            lambda text=f"classes: [{written}]\n": study(lines=text)
        )
    assert study(lines="classes: ['8', '010', 0]\n").classes == ["8", "010", "0"]


def test_numbers_that_are_names_and_numbers_of_classes_with_words_are_taken(listed):
    listed(in_both_splits(["1", "2", "12"]), "file,labels,split")
    assert study(lines="classes: [12, 2]\n").classes == ["12", "2"]
    recordings._rows.cache_clear()
    recordings.recordings.cache_clear()
    class_names.cache_clear()
    listed(in_both_splits(["Ape", "Bat", "Cat"]), "file,labels,split")
    assert study(lines="classes: [1, 02]\n").classes == ["Bat", "Cat"]


def test_on_the_command_line_a_number_that_may_be_a_name_is_refused_too(listed):
    listed(in_both_splits(["001", "002", "003", "004"]), "file,labels,split")
    study()
    for written in (3, [3], ["3"]):  # Snakemake reads lists as texts, and 003 alone as 3
        loaded = config.load({"studies": ["mine.yaml"], "classes": written})
        assert message(loaded.study, "mine").startswith("--config: classes: 3 may be a class")
    loaded = config.load({"studies": ["mine.yaml"], "classes": ["003"]})
    assert loaded.study("mine").classes == ["003"]


@pytest.mark.parametrize("written", ["No", "null", "1.5", "2024-01-01"])
def test_a_name_that_yaml_reads_as_something_else_needs_quotes(listed, written):
    listed(in_both_splits([written, "Dog"]), "file,labels,split")
    assert message(lambda: study(lines=f"classes: [{written}]\n")).endswith(
        "put the name in quotes"
    )
    assert study(lines=f"classes: ['{written}']\n").classes == [written]


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (
            ["nan", "Dog"],
            ["is 'nan', in 2 rows, the name of a class? If it means that there is no"],
        ),
        (["No", "Dog"], ["is 'No', in 2 rows, the name of a class?"]),
        (["Dog", "dog", "Cat"], ["are 'Dog' and 'dog' one class? As several, each is a negative"]),
        (["Barn owl", "barn_owl"], ["are 'Barn owl' and 'barn_owl' one class?"]),
        (["A,B", "C"], ["is 'A,B' the name of one class? Several are separated by semicolons."]),
        (["Dog", "Cat, Dog"], ["is 'Cat, Dog' the name of one class?"]),
        (["Speech, male", "Speech, female", "Nanny", "Nothing"], []),
    ],
)
def test_names_of_classes_that_look_like_mistakes_are_asked_about(listed, capsys, names, asked):
    listed(in_both_splits(names), "file,labels,split")
    ask_about_classes(Results(study(lines=f"classes: [{names[-1]!r}]\n")))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(asked)
    for line, words in zip(lines, asked, strict=True):
        assert line.startswith(f"list.csv: {words}")


def test_two_spellings_of_one_class_are_not_solved_by_leaving_one_out(listed):
    listed(in_both_splits(["Dog", "dog"]), "file,labels,split")
    expected = "if they are one class, write it one way in list.csv, else leave one of them out"
    assert message(study).endswith(expected)


def test_classes_of_any_script_have_folders_of_their_own(listed):
    names = ["犬", "猫", "Wałęsa", "Wasa", "犬 A", "猫 A"]
    listed(
        [f"{n},{';'.join(names)},{s}" for n, s in enumerate(["train", "test"])], "file,labels,split"
    )
    slugs = study().class_slugs
    assert sorted(slugs.values()) == sorted(names)
    assert all(slug.isascii() and slug.replace("_", "").isalnum() for slug in slugs)


# ----------------------------------------------------------------------------- the folder
def tone(hertz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(RATE * seconds)) / RATE)).astype("f4")


def write(path: Path, samples: np.ndarray, rate: int = RATE, **how: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:  # by a descriptor: from a name soundfile would guess a format
        soundfile.write(file, samples, rate, **({"format": "WAV", "subtype": "FLOAT"} | how))


def features(mine: Study, folder: str = "sounds") -> dict:
    """The stages from the list to the stores, as the workflow runs them; split -> its store."""
    settings = FeaturesSettings.of(mine).model_dump()
    dataset = FeaturesSettings.model_validate(settings).dataset
    list_recordings(ListSettings(dataset=dataset), folder, "recordings.csv")
    shards: dict[str, list[str]] = {}
    for split, names in mine.shards.items():
        for name in names:
            status, shard = f"{split}{name}.csv", f"shards/{split}/{name}.h5"
            source = {"type": "folder"}
            acquire(
                read_recordings("recordings.csv"),
                split,
                int(name),
                SHARD_SIZE,
                source,
                folder,
                "no",
                status,
            )
            compute_shard(status, ShardSettings.of(mine).model_dump(), shard, 1)
            shards.setdefault(split, []).append(shard)
    outputs = ("train.h5", "test.h5", "problems.csv")
    join_features(
        "recordings.csv",
        shards,
        settings["class_names"],
        mine.audio.model_dump(),
        *outputs,
        mine.dataset.unlisted,
    )
    return {split: read_store(f"{split}.h5") for split in shards}


def test_clips_of_one_source_are_on_one_side_of_the_validation_split(listed, tmp_path):
    """Those of one recording, and those of a group."""
    rows = [f"{n}.wav,{'Dog' if n % 2 else 'Cat'},train,{'xy'[n % 2] * (n > 7)}" for n in range(12)]
    listed([*rows, "t.wav,Dog;Cat,test,"], "file,labels,split,group")
    for name in [*map(str, range(12)), "t"]:
        write(tmp_path / "sounds" / f"{name}.wav", tone(seconds=3))
    mine = study()
    stores = features(mine)
    assert stores["test"].group.tolist() == ["t.wav"] * 3
    list_clips("train.h5", "train.csv")
    bags = read_bags("train.csv", stores["train"], "Dog")[0]
    source = [
        rows[int(clip.split(".")[0])].split(",")[3] or clip.split("@")[0]
        for clip in stores["train"].id.tolist()
    ]
    assert len(set(source)) == 10
    for seed in range(9):
        sides = split_validation(bags.label, 0.25, seed, bags.group)
        train, validation = ({source[row] for row in side} for side in sides)
        assert not train & validation
        assert {*train, *validation} == set(source)
        # The audit, which reads the manifest alone, finds the same.
        again = split_validation(bags.label, 0.25, seed, read_clips("train.csv")["group"])
        assert [side.tolist() for side in again] == [side.tolist() for side in sides]


def test_recordings_of_one_clip_each_have_no_groups(listed, tmp_path):
    listed(["a.wav,Dog,train", "b.wav,Dog,train", "c.wav,Dog,test"], "file,labels,split")
    for name in "abc":
        write(tmp_path / "sounds" / f"{name}.wav", tone())
    assert features(study())["train"].group is None
    list_clips("train.h5", "train.csv")
    assert "group" not in Path("train.csv").read_text()


def problems() -> dict[str, list[str]]:
    """Id -> what was wrong with it and what was done."""
    with open("problems.csv", newline="", encoding="utf-8") as file:
        return {row["id"]: [row["problem"], row["consequence"]] for row in csv.DictReader(file)}


def labels(store) -> dict[str, set[str]]:
    """Id of each clip -> its labels."""
    return {
        clip: {name for name, one in zip(store.class_names, y, strict=True) if one}
        for clip, y in zip(store.id.tolist(), store.y, strict=True)
    }


BAD = {
    "missing.wav": (None, "missing: there is no file"),
    "empty.wav": (b"", "empty: the file has 0 bytes"),
    "page.wav": (b"<html>404</html>" * 99, "unreadable: "),
    "silent.wav": (np.zeros(RATE, "f4"), "silent: "),
    "nan.wav": (np.full(RATE, np.nan, "f4"), "not_finite: "),
    "one sample.wav": (np.ones(1, "f4"), "silent: "),
    "short.wav": (tone()[:300], "too_short: "),
}
GOOD = {
    **{name: {} for name in NAMES},
    "8 bit.wav": {"subtype": "PCM_U8"},
    "fast.wav": {"rate": 96_000},
    "flac.wav": {"format": "FLAC", "subtype": "PCM_16"},
    "wav.mp3": {},
    "wav": {},
}


def test_of_a_folder_as_it_is_every_file_is_used_or_has_a_reason(listed, tmp_path):
    for name, (content, _) in BAD.items():
        if isinstance(content, bytes):
            (tmp_path / "sounds").mkdir(exist_ok=True)
            (tmp_path / "sounds" / name).write_bytes(content)
        elif content is not None:
            write(tmp_path / "sounds" / name, content)
    for name, how in GOOD.items():
        rate = how.get("rate", RATE)
        write(tmp_path / "sounds" / name, tone(seconds=rate / RATE), **how)
    write(tmp_path / "sounds" / "six.wav", np.repeat(tone()[:, None], 6, axis=1))
    write(tmp_path / "sounds" / "loud.wav", (5 * tone()).clip(-1, 1))
    good = [*GOOD, "six.wav", "loud.wav"]
    with open("list.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("file", "labels", "split"),
                *((name, 'Hum, "low"', "train") for name in [*BAD, *good]),
                ("wav.mp3.copy", 'Hum, "low"', "test"),
            ]
        )
    write(tmp_path / "sounds" / "wav.mp3.copy", tone(880))
    train = features(study())["train"]
    assert labels(train) == {name: {'Hum, "low"'} for name in good}
    assert (train.x != 0).any(axis=(1, 2)).all()
    found = problems()
    assert found.pop("loud.wav")[1] == "kept"
    assert found.keys() == BAD.keys()
    for name, (_, reason) in BAD.items():
        assert found[name][0].startswith(reason), name
        assert found[name][1] == "excluded"


def test_long_recordings_are_cut_and_clips_have_the_labels_they_overlap(listed, tmp_path):
    write(tmp_path / "sounds" / "long.wav", tone(seconds=4.0))
    write(tmp_path / "sounds" / "whole.wav", tone(seconds=2.0))
    rows = [
        *("long.wav,Owl,0.4,1.2,train", "long.wav,Fox,2,2.9,train"),
        *("whole.wav,Owl;Fox,,,test", "whole.wav,,,,test"),
    ]
    listed(rows, "file,labels,onset,offset,split")
    stores = features(study())
    assert labels(stores["train"]) == {
        "long.wav@0": {"Owl"},
        "long.wav@1": {"Owl"},
        "long.wav@2": {"Fox"},
        "long.wav@3": set(),
    }
    assert labels(stores["test"]) == {f"whole.wav@{n}": {"Owl", "Fox"} for n in (0, 1)}
    assert problems() == {}

    half = STUDY.replace("clip_seconds: 1.0", "clip_seconds: 1.0, hop_seconds: 0.5")
    Path("half.yaml").write_text(half)
    clips = labels(features(config.load_study("half.yaml"))["train"])
    assert list(clips) == [f"long.wav@{n / 2:g}" for n in range(7)]
    assert [clip for clip, of in clips.items() if "Owl" in of] == [
        f"long.wav@{n}" for n in ("0", "0.5", "1")
    ]
    assert [clip for clip, of in clips.items() if "Fox" in of] == [
        f"long.wav@{n}" for n in ("1.5", "2", "2.5")
    ]


DOGS = [f"{n}.wav,Dog,{{}},{{}},{'test' if n < 4 else 'train'}" for n in range(12)]
LATE = [row.format(60.2, 60.8) for row in DOGS]
IN_TIME = [row.format(0.2, 0.8) for row in DOGS]


@pytest.mark.parametrize("late", [0, 1, 9])
def test_events_beyond_their_recordings_do_not_make_negatives(listed, tmp_path, capfd, late):
    """As in lists with the times of the originals that the files were cut from."""
    for n in range(12):
        write(tmp_path / "sounds" / f"{n}.wav", tone(200 + n, 1.4))
    others = [f"{n}.wav,Hum,0.5,0.7,{'test' if n < 4 else 'train'}" for n in range(12)]
    listed([*LATE[-late or 12 :], *IN_TIME[: 12 - late], *others], "file,labels,onset,offset,split")
    if late == 9:
        assert message(features, study()) == (
            "9 of the 12 events of 'Dog' lie outside their recordings, such as Dog from 60.2 to "
            "60.8 s of '4.wav', which lasts 1.4 s: give onset and offset in seconds from the start "
            "of the file that is listed, or raise audio.max_outside (0.05) in the study."
        )
        assert not Path("train.h5").exists()
    stores = features(study(audio="max_outside: 0.75"))
    assert sum(map(len, problems().values())) == 2 * late
    said = f"problems.csv: {late} of 24 events lie outside their recordings (Dog {late})\n"
    # What the job prints reaches the console.
    assert (said in (out := capfd.readouterr().out)) == bool(late)
    assert ("lie outside" in out) == bool(late)
    labelled = {clip for store in stores.values() for clip, of in labels(store).items() if of}
    assert len(labelled) == 12


def test_the_least_overlap_is_a_key_of_the_study(listed, tmp_path):
    for name in "ab":
        write(tmp_path / "sounds" / f"{name}.wav", tone(200 + ord(name), 2.0))
    listed(["a.wav,Dog,0.2,1.3,train", "b.wav,Dog,0.2,1.3,test"], "file,labels,onset,offset,split")

    def labelled(audio: str) -> list[str]:
        clips = labels(features(study(audio=audio))["train"])
        return [clip for clip, of in clips.items() if of]

    assert labelled("") == ["a.wav@0", "a.wav@1"]
    assert labelled("min_overlap: 0.3") == ["a.wav@0", "a.wav@1"]
    assert labelled("min_overlap: 0.301") == ["a.wav@0"]
    assert labelled("min_overlap: {event: 0.3}") == ["a.wav@0"]
    assert labelled("min_overlap: {clip: 0.25}") == ["a.wav@0", "a.wav@1"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("-1", "min_overlap: must be a number of seconds, at least 0, or a share"),
        ("half", "min_overlap: must be a number of seconds"),
        ("true", "min_overlap: must be a number of seconds"),
        ("{both: 1}", "min_overlap: must be {event: share} or {clip: share}"),
        ("{event: 1, clip: 1}", "min_overlap: must be {event: share} or {clip: share}"),
        ("{event: 50}", "min_overlap.event: must be a number above 0 and up to 1, not 50"),
        ("{clip: 0}", "min_overlap.clip: must be a number above 0 and up to 1, not 0"),
    ],
)
def test_a_least_overlap_that_is_none_is_named_with_its_key(listed, value, words):
    listed(["a.wav,Dog,train", "b.wav,Dog,test"], "file,labels,split")
    error = message(lambda: study(audio=f"min_overlap: {value}"))
    assert error.startswith(f"mine.yaml: audio.{words}")


def test_the_same_bytes_in_both_splits_or_under_other_labels_are_said(listed, tmp_path, capfd):
    for number, name in enumerate(("dog", "cat", "hum")):
        for copy in "123":
            write(tmp_path / "sounds" / f"{name}{copy}.wav", tone(300 + 100 * number))
    write(tmp_path / "sounds" / "alone.wav", tone(900))
    shutil.copy(tmp_path / "sounds" / "cat1.wav", tmp_path / "sounds" / "dog folder.wav")
    listed(
        [
            *("dog1.wav,Dog,train", "dog2.wav,Dog,train", "dog3.wav,Dog,test"),
            *("cat1.wav,Cat,train", "dog folder.wav,Dog;Pet,train", "alone.wav,Cat;Pet,test"),
            *("hum1.wav,Dog;Cat,train", "hum2.wav,Cat;Dog,train"),
        ],
        "file,labels,split",
    )
    features(study())
    assert problems() == {
        "dog1.wav": ["the same bytes as 'dog3.wav' in the test split", "kept"],
        "dog2.wav": ["the same bytes as 'dog3.wav' in the test split", "kept"],
        "dog3.wav": ["the same bytes as 'dog1.wav' in the train split", "kept"],
        "cat1.wav": ["the same bytes as 'dog folder.wav', which has the labels Dog; Pet", "kept"],
        "dog folder.wav": ["the same bytes as 'cat1.wav', which has the labels Cat", "kept"],
    }
    assert capfd.readouterr().out == (
        "problems.csv: 5 recordings have the same bytes as one that is in the other split or has "
        "other labels\n"
    )


def test_frequencies_that_spectrograms_leave_out_are_said(listed, tmp_path, capfd):
    """Unless they are chosen; 44.1 and 48 kHz in a study of 16 kHz are what everybody does."""
    for name, rate in (("bat", 256_000), ("bird", 48_000), ("cd", 44_100)):
        write(tmp_path / "sounds" / f"{name}.wav", tone(seconds=rate / RATE), rate)
    listed(["bat.wav,Dog,train", "bird.wav,Dog,train", "cd.wav,Dog,test"], "file,labels,split")
    features(study())
    said = (
        "problems.csv: 1 of 3 recordings may hold frequencies of up to 128 kHz, but the "
        "spectrograms end at 8 kHz: see docs/own-recordings.md on sample_rate, low_hz and high_hz\n"
    )
    assert capfd.readouterr().out == said
    for chosen in ("high_hz: 8000", "sample_rate: 128000"):
        features(study(audio=chosen))
        assert capfd.readouterr().out == ""
    assert "sample_rate" in (ROOT / "docs" / "own-recordings.md").read_text()


def test_bands_are_chosen_in_the_study(listed, tmp_path):
    """A tone is heard between low_hz and high_hz only; the defaults leave settings as they were."""
    for name in ("a", "b"):
        write(tmp_path / "sounds" / f"{name}.wav", tone(1000))
    listed(["a.wav,Dog,train", "b.wav,Dog,test"], "file,labels,split")

    def loudest(audio: str) -> float:
        return features(study(audio=audio))["train"].x.astype(float).max()

    assert loudest("low_hz: 500") > 5
    assert loudest("low_hz: 500, high_hz: 1500") > 5
    assert loudest("low_hz: 2000") < loudest("low_hz: 500") - 5
    assert "_hz" not in ShardSettings.of(study()).text()
    assert "min_overlap" not in FeaturesSettings.of(study()).text()


def test_a_channel_is_chosen_in_the_study(listed, tmp_path):
    for name in ("a", "b"):
        both = np.stack([tone(1000), 0.5 * tone(3000)], 1)
        write(tmp_path / "sounds" / f"{name}.wav", both)
    listed(["a.wav,Dog,train", "b.wav,Dog,test"], "file,labels,split")
    mean, first, loudest = (
        features(mine)["train"].x
        for mine in (study(), study(audio="channel: first"), study(audio="channel: loudest"))
    )
    assert np.array_equal(first, loudest)
    assert not np.array_equal(first, mean)
    assert "channel" not in ShardSettings.of(study()).text()


@pytest.mark.parametrize(
    "bands", ["low_hz: 8000", "low_hz: 500, high_hz: 500", "high_hz: 8001", "high_hz: 10"]
)
def test_bands_that_leave_nothing_are_refused(listed, bands):
    listed(["a.wav,Dog,train", "b.wav,Dog,test"], "file,labels,split")
    error = message(lambda: study(audio=bands))
    assert error.startswith("mine.yaml: audio.high_hz: the bands from low_hz (")
    assert "must lie below half of sample_rate (8000 Hz), low_hz below high_hz" in error


def test_two_clips_of_one_id_are_an_error(listed, tmp_path):
    for name, seconds in (("a", 2.0), ("a@1", 1.0), ("b", 1.0)):
        write(tmp_path / "sounds" / name, tone(seconds=seconds))
    listed(["a,Dog,train", "a@1,Dog,train", "b,Dog,test"], "file,labels,split")
    assert message(features, study()) == (
        "two clips of the train split have the id 'a@1': rename one of their recordings."
    )


def test_the_folder_may_be_in_that_of_the_environment_variable(listed, tmp_path, monkeypatch):
    listed(["a.wav,Dog,train", "b.wav,Dog,test"], "file,labels,split")
    for name in ("a.wav", "b.wav"):
        write(tmp_path / "data" / "sounds" / name, tone())
    monkeypatch.delenv("WEAKNEG_DATA", raising=False)
    assert message(features, study()).startswith(
        "there is no folder sounds here or in the one that"
    )
    monkeypatch.setenv("WEAKNEG_DATA", "data")
    assert len(features(study())["train"].x) == 1


SMALL_DISK = """
import resource, signal, sys
from weakneg.command_line import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
sys.exit(main())
"""


def test_a_full_disk_is_one_line_and_leaves_no_half_list(listed, tmp_path):
    listed([f"{number}.wav,Dog" for number in range(1000)])
    settings = ListSettings.of(study()).text()
    stage = [
        "list_recordings",
        "--settings",
        settings,
        "--folder",
        "sounds",
        "--output",
        "out/a.csv",
    ]
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, *stage],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "error: File too large: out/a.csv: make room and run again.\n"
    assert list((tmp_path / "out").iterdir()) == []


# ----------------------------------------------------------------------------- the workflow
def test_nothing_in_a_list_reaches_a_shell(tmp_path):
    """Names and labels with all that a shell minds, through Snakemake, to the scores."""
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("workflow", "envs", "profiles"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    folder, list_file = "my 'sounds' {x} $(touch hacked)", "my 'list' $(touch hacked).csv"
    labels = ['O\'Hare "x", {wildcards.x}', "$(touch hacked)"]
    rows = [("file", "labels", "split")]
    for number in range(12):
        name = f'-{number} $(touch hacked) "`touch hacked`" {{y}}.wav'
        write(tmp_path / folder / name, tone(200 + 20 * number, 0.3))
        split = "test" if number < 4 else "train"
        rows.append((name, ";".join(labels) if number % 2 else "Rain {wildcards.x}", split))
    with open(tmp_path / list_file, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    dataset = {"name": "recordings", "list": list_file, "folder": folder}
    mine = {"title": "Mine", "dataset": dataset, "strategies": ["random"], "seeds": 1}
    mine |= {"audio": {"clip_seconds": 0.3, "mel_bins": 16}, "model": {"name": "cnn"}}
    (tmp_path / "mine.yaml").write_text(json.dumps(mine | {"training": {"epochs": 1}}))
    binaries = Path(sys.executable).parent
    done = subprocess.run(
        [
            *(binaries / "snakemake", "--cores", "1", "--config", "studies=mine.yaml", "--"),
            f"results/mine/runs/{class_slug(labels[0])}/random/model.pt",
        ],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.rglob("hacked"))
    assert (tmp_path / "results/mine/features/problems.csv").read_text().count("\n") == 1


# ----------------------------------------------------------------------------- what is not listed
UNLISTED = ", unlisted: unknown"
TIMED = "file,labels,split,onset,offset,negatives"


def test_negatives_are_those_of_a_recording_or_of_a_part_of_it(listed):
    rows = ["a.wav,Dog,train,1,2,Cat;Rain", "a.wav,,train,3,4.5,Dog", "a.wav,,train,,,Owl"]
    listed([*rows, "b.wav,,test,,,"], TIMED)
    a, b = read("list.csv").values()
    assert a["labels"] == ["Dog"]
    assert a["events"] == [("Dog", 1.0, 2.0)]
    span = (1.0, 2.0)
    assert a["negatives"] == [
        *(("Cat", *span), ("Rain", *span), ("Dog", 3.0, 4.5), ("Owl", 0.0, math.inf))
    ]
    assert b["negatives"] == []
    sizes = recordings.negative_sizes("list.csv", "test")
    assert sizes == {"train": Counter(["Cat", "Rain", "Dog", "Owl"]), "test": Counter()}
    assert recordings.read_classes("list.csv") == ("Dog",)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a.wav,Dog;Cat,train,,,Cat", "b.wav,,test,,,"], "line 2: 'Cat' is in labels and in neg"),
        (
            ["a.wav,Dog,train,,,", "b.wav,,test,,,", "a.wav,,train,,,Dog"],
            "line 4: in 'a.wav': 'Dog'",
        ),
        (
            ["a.wav,,train,2,3,Dog", "b.wav,,test,,,", "a.wav,Dog,train,,,"],
            "line 4: in 'a.wav': 'D",
        ),
        (["a.wav,Dog,train,1,2,Dog", "b.wav,,test,,,"], "line 2: 'Dog' is in labels and in negat"),
    ],
)
def test_what_is_heard_and_not_heard_is_named_with_its_line(listed, rows, words):
    listed(rows, TIMED)
    assert words in message(read, "list.csv")


def test_a_study_says_what_is_not_listed(listed):
    listed(
        [f"{n}.wav,{'Dog' * (n % 2)},{'test' if n < 4 else 'train'}" for n in range(8)],
        "file,labels,split",
    )
    assert study().dataset.unlisted == "negative"
    assert "unlisted" not in FeaturesSettings.of(study()).text()
    words = message(study, UNLISTED)
    assert "too few recordings that are known not to hold Dog (0 for training, 0 for test" in words
    assert "column negatives" in words
    assert "list.csv" in words


def test_unlisted_changes_the_list_and_the_stores_and_no_sound(listed):
    splits = ["train", "test"] * 4
    rows = [f"{n}.wav,{'Dog' * (n // 4)},{s},{'Dog' * (1 - n // 4)}" for n, s in enumerate(splits)]
    listed(rows, "file,labels,split,negatives")
    settings = [
        (
            AcquireSettings.of(mine, "train", "000").text(),
            ShardSettings.of(mine).text(),
            ListSettings.of(mine).text(),
            FeaturesSettings.of(mine).text(),
        )
        for mine in (study(), study(UNLISTED))
    ]
    same = [before == after for before, after in zip(*settings, strict=True)]
    assert same == [True, True, False, False]


def test_names_that_are_only_negatives_are_asked_about(listed, capsys):
    rows = [f"{n}.wav,{'Dog' * (n % 2)},{'Dog' * (1 - n % 2)};Dgo,train" for n in range(4)]
    rows += ["t.wav,Dog,,test", "u.wav,,Dog,test"]
    listed(rows, "file,labels,negatives,split")
    ask_about_classes(Results(study(UNLISTED)))
    assert "is 'Dgo' the name of a class? It is in negatives" in capsys.readouterr().err
    ask_about_classes(Results(study()))
    assert "Dgo" not in capsys.readouterr().err


def test_of_recordings_that_nobody_listened_to_nothing_is_known(listed, tmp_path):
    """Through every stage up to the bags: whole recordings, parts of them, and none."""
    header = "file,labels,split,onset,offset,negatives"
    rows = [
        "whole.wav,Dog,train,,,Cat",
        "long.wav,Dog,train,0.2,0.5,",  # four clips
        "long.wav,,train,0,3,Dog;Cat",
        "none.wav,,train,,,",
        *("cat.wav,Cat,train,,,Dog", "t.wav,Dog,test,,,Cat", "u.wav,Cat,test,,,Dog"),
        "v.wav,,test,,,",
    ]
    listed(rows, header)
    for number, name in enumerate(("whole", "long", "none", "cat", "t", "u", "v")):
        sound = tone(300 + 50 * number, seconds=4 if name == "long" else 1)
        write(tmp_path / "sounds" / f"{name}.wav", sound)
    values = {}
    for mine in (study(), study(UNLISTED)):
        stores = features(mine)
        unlisted = mine.dataset.unlisted
        train = stores["train"]
        values[unlisted] = {
            name: dict(zip(train.id.tolist(), train.y[:, c].tolist(), strict=True))
            for c, name in enumerate(train.class_names)
        }
        header = Path("recordings.csv").read_text().splitlines()[0].split(",")
        assert ("negatives" in header) == (unlisted == "unknown")
        assert ("unlisted" in train.parameters) == (unlisted == "unknown")
    u = 255
    assert list(values["unknown"]["Dog"].values()) == [1, 1, 0, 0, u, u, 0]
    assert list(values["unknown"]["Cat"].values()) == [0, 0, 0, 0, u, u, 1]
    assert list(values["negative"]["Dog"].values()) == [1, 1, 0, 0, 0, 0, 0]
    list_clips("train.h5", "train.csv")
    bags = read_bags("train.csv", stores["train"], "Cat")[0]
    assert bags.label.tolist() == [0, 0, 0, 0, -1, -1, 1]
    assert bags.negatives_observed
