"""The section `truth`: what it means, and what it refuses."""

import csv
import os
from pathlib import Path

import pytest

from weakneg.config.load import load_study
from weakneg.errors import UserError
from weakneg.workspace.results import Results

START = "title: Mine\ndataset: {name: audioset_vggish}\nmodel: {name: mlp}\nstrategies: [random]\n"
DATA = Path(os.environ.get("WEAKNEG_DATA", os.devnull)) / "audioset"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes a study with a section `truth`."""
    monkeypatch.chdir(tmp_path)

    def make(truth: str, start: str = START, classes: str = "[Dog, Cat, Music]"):
        (tmp_path / "mine.yaml").write_text(f"{start}classes: {classes}\ntruth: {truth}\n")
        return load_study("mine.yaml")

    return make


def test_a_label_is_short_for_what_was_heard(study):
    truth = study("{list: heard.csv, classes: {Cat: [cat, kitten], /m/0bt9lr: dog}}").truth
    assert {name: each.heard for name, each in truth.classes.items()} == {
        "Cat": ["cat", "kitten"],
        "Dog": ["dog"],
    }
    assert all(each.labelled == [] for each in truth.classes.values())
    assert list(truth.of(["Dog", "Music", "Cat"])) == ["Dog", "Cat"]  # in the study's order


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (
            "{list: desed, classes: {Dog: Dog}}",
            "truth.list: 'desed' is not own_labels, a published list",
        ),
        ("{list: h.csv, classes: {Dgo: Dog}}", "truth.classes.Dgo: 'Dgo' is not a class of"),
        (
            "{list: h.csv, classes: {Dog: {heard: Dog, labelled: [Brk]}}}",
            "truth.classes.Dog.labelled: 'Brk' is not a class of",
        ),
        ("{list: h.csv, classes: {Siren: x}}", "truth.classes: none of Siren is a class of the"),
        ("{list: h.csv, classes: {Dog: a, /m/0bt9lr: b}}", "'Dog' is listed twice"),
        ("{list: h.csv, classes: {}}", "truth.classes: must not be empty"),
        ("{list: h.csv, classes: {Dog: {labelled: [Bark]}}}", "truth.classes.Dog.heard: is miss"),
        ("{classes: {Dog: Dog}}", "truth.list: is missing"),
    ],
)
def test_a_mistake_is_one_line(study, truth, said):
    with pytest.raises(UserError) as caught:
        study(truth)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_cannot_be_listened_to(study):
    start = "title: Mine\ndataset: {name: cifar10}\nstrategies: [random]\n"
    with pytest.raises(UserError, match="truth: cifar10 has no clips to listen to"):
        study("{list: h.csv, classes: {dog: dog}}", start, "[dog]")


def test_only_a_study_with_truth_is_judged(study, tmp_path):
    of = Results(study("{list: heard.csv, classes: {Dog: dog}}"))
    judged = {f"results/mine/tables/truth.{end}" for end in ("csv", "md", "tex")}
    assert judged < {*of.all}
    assert "results/mine/figures/truth.png" in of.all
    assert of.truth_list == ["heard.csv"]
    published = Results(study("{list: desed_validation, classes: {Dog: Dog}}"))
    assert published.truth_list == ["resources/truth/desed_validation.tsv"]
    (tmp_path / "other.yaml").write_text(START)
    other = Results(load_study("other.yaml"))
    assert not any("truth" in file for file in other.all)
    assert (other.truth_list, other.judged_classes) == ([], "{}")
    assert "results/other/tables/suspects.csv" in other.all
    assert not any("suspects" in file for file in Results(load_study("digits")).all)


def test_a_list_next_to_the_study_is_found(study, tmp_path, monkeypatch):
    (tmp_path / "heard.csv").write_text("id,labels\n")
    study("{list: heard.csv, classes: {Dog: dog}}")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert load_study("../mine.yaml").truth.list == str(tmp_path / "heard.csv")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the folder audioset in WEAKNEG_DATA")
def test_the_classes_of_desed_are_those_of_its_table():
    groups: dict[str, set[str]] = {}
    with open(DATA / "desed_classes.csv", newline="") as file:
        for row in csv.DictReader(file):
            groups.setdefault(row["event_label"], set()).add(row["display_name"])
    truth = load_study("audioset_vggish_truth").truth
    found = {each.heard[0]: {name, *each.labelled} for name, each in truth.classes.items()}
    assert found == groups


MANY = "title: Mine\n{}\ntask: multilabel\nmethods: [bce]\n"
VECTORS = MANY.format("dataset: {name: audioset_vggish}\nmodel: {name: mlp}")
SOUND = MANY.format("dataset: {name: soundscapes}\nmodel: {name: cnn}")
GAME = ["events.csv", "events.md", "events_by_class.csv", "pointing.csv", "pointing.md"]


@pytest.mark.parametrize(
    ("start", "classes", "truth", "tables"),
    [
        (VECTORS, "[Dog]", "{list: h.tsv, classes: {Dog: d}}", []),
        (VECTORS, "[Dog]", "{list: h.tsv, classes: {Dog: d}, frame_seconds: 1.0}", GAME[3:]),
        (
            VECTORS,
            "[Dog]",
            "{list: h.tsv, classes: {Dog: d}, frame_seconds: 1.0, event_detection: true}",
            GAME,
        ),
        # The model of spectrograms knows when its frames are.
        (SOUND, "[Bark]", "{list: h.tsv, classes: {Bark: d}}", GAME[3:]),
        (SOUND, "[Bark]", "{list: own_labels}", GAME[3:]),
        (SOUND, "[Bark]", "{list: own_labels, event_detection: true}", GAME),
    ],
)
def test_events_are_looked_for_where_frames_have_times(study, start, classes, truth, tables):
    made = {Path(file).name for file in Results(study(truth, start, classes)).tables}
    assert sorted(made & {*GAME}) == tables


def test_own_labels_are_the_truth_of_every_class(study):
    found = Results(study("{list: own_labels}", SOUND, "[Bark, Siren]"))
    assert found.truth_list == ["results/mine/audio/recordings.csv"]
    judged = found.study.truth.of(found.study.classes)
    assert {name: each.heard for name, each in judged.items()} == {
        "Bark": ["Bark"],
        "Siren": ["Siren"],
    }


@pytest.mark.parametrize(
    ("start", "classes", "truth", "said"),
    [
        (START, "[Dog]", "{list: own_labels}", "truth.list: own_labels is for task: multilabel"),
        (
            VECTORS,
            "[Dog]",
            "{list: own_labels, frame_seconds: 1.0}",
            "truth.list: audioset_vggish ",
        ),
        (
            SOUND.replace("soundscapes", "audioset") + "source: {type: folder, folder: .}\n",
            "[Bark]",
            "{list: own_labels}",
            "truth.list: audioset does not say when its labels sound: name another list",
        ),
        (
            SOUND + "observed: all\n",
            "[Bark]",
            "{list: own_labels, classes: {Bark: Bark}}",
            "truth.classes: list: own_labels judges every class: remove this key",
        ),
        (SOUND, "[Bark]", "{list: own_labels, frame_seconds: 1.0}", "truth.frame_seconds: is for"),
        (
            SOUND,
            "[Bark]",
            "{list: h.csv, classes: {Bark: d}}",
            "truth.list: h.csv does not say when",
        ),
        (
            VECTORS,
            "[Dog]",
            "{list: h.csv, classes: {Dog: d}, frame_seconds: 1.0}",
            "truth.list: h.csv does not say when a sound was heard",
        ),
        (
            VECTORS,
            "[Dog]",
            "{list: h.tsv, classes: {Dog: d}, event_detection: true}",
            "truth.event_detection: needs to know when each feature vector is: set truth.frame_sec",
        ),
        (
            START,
            "[Dog]",
            "{list: h.tsv, classes: {Dog: d}, event_detection: true}",
            "truth.event_detection: is for task: multilabel: remove this key",
        ),
    ],
)
def test_what_has_no_times_is_said(study, start, classes, truth, said):
    with pytest.raises(UserError) as caught:
        study(truth, start, classes)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "header", "of_train", "of_test", "channel"),
    [
        ("times", "onset,offset", "1,2", "1,2", "first"),
        ("training", "onset,offset", "1,2", ",", "first"),
        # Events, as far as the list goes, but of unknown times.
        ("channels", "channel", "1", "1", "each"),
    ],
)
def test_own_labels_of_test_recordings_have_times(
    study, tmp_path, name, header, of_train, of_test, channel
):
    rows = [f"file,labels,split,{header}"]
    for split, more in (("train", of_train), ("test", of_test)):
        rows += [f"{split}{n}.wav,{'AB'[n % 2]},{split},{more}" for n in range(8)]
    (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    (tmp_path / "sounds").mkdir()
    own = MANY.format(
        f"dataset: {{name: recordings, list: {name}.csv, folder: sounds}}\nmodel: {{name: cnn}}"
        f"\naudio: {{clip_seconds: 4, channel: {channel}}}"
    )
    if name == "times":
        assert study("{list: own_labels}", own, "[A, B]").truth.of_own_labels
        return
    with pytest.raises(UserError, match=rf"no label of a test recording in {name}\.csv has"):
        study("{list: own_labels}", own, "[A, B]")
