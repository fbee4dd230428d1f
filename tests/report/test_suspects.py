"""suspects.csv and suspects.md of a study of clips."""

import json

import pandas as pd
import pytest
from heard import CLASSES, LABELS, Study
from selections import write_clips

from weakneg import datasets
from weakneg.analysis.suspects import COLUMNS
from weakneg.command_line import main
from weakneg.report.suspects import list_suspects


@pytest.fixture
def study(tmp_path, monkeypatch):
    published = datasets.Dataset(
        kind="clips",
        class_names=(),
        link=lambda name, start: f"https://example.org/{name}?t={int(start)}",
        related_classes=lambda folder: {"Dog": {"Bark"}, "Cat": set()},
    )
    monkeypatch.setattr(datasets, "load", lambda name: published)
    return Study(tmp_path)


def listed(study, heard=None, classes={}):  # noqa: B006
    tables = study.tables
    list_suspects(
        *(study.runs, study.manifests, study.settings, "toy", study.folder, tables),
        *(classes, heard),
    )
    table = pd.read_csv(tables / "suspects.csv", keep_default_na=False)
    return table, (tables / "suspects.md").read_text()


def test_every_class_has_its_suspects_with_their_identity(study):
    table, text = listed(study)
    assert table.columns.tolist() == COLUMNS
    dogs = table[table["class"] == "Dog"]
    assert dogs["rank"].tolist() == [1, 2, 3, 4, 5, 6]  # two of the eight clips are dogs
    assert not {"--clip_0", "--clip_2"} & {*dogs["id"]}
    assert (dogs["split"] == "test").all()
    row = dogs.set_index("id").loc["--clip_3"]
    assert (row["start"], row["link"]) == (30, "https://example.org/--clip_3?t=30")
    assert (row["other_labels"], row["related_labels"]) == ("Bark", "Bark")
    assert (table["heard"] == "").all()
    assert "(https://example.org/--clip_3?t=30), probability" in text
    assert ": **Bark**" in text
    assert "people heard" not in text


@pytest.mark.parametrize("judged", [False, True])
def test_the_command_line_with_and_without_a_list_of_what_was_heard(study, judged):
    options = {
        "--runs": [f"{strategy}={folder}" for strategy, folder in study.runs],
        "--manifests": [*map(str, study.manifests)],
        "--heard": [str(study.heard)] * judged,
        "--classes": [json.dumps(CLASSES if judged else {})],
        "--settings": [json.dumps(study.settings)],
        "--dataset": ["toy"],
        "--data-folder": [str(study.folder)],
        "--folder": [str(study.tables)],
    }
    main(["list_suspects", *(word for name in options for word in (name, *options[name]))])
    text = (study.tables / "suspects.md").read_text()
    assert ("people heard the class" in text) == judged


def test_a_clip_in_which_the_class_was_heard_is_no_suspect_of_it_any_more(study):
    corrected = study.folder / "bags" / "dog.csv"
    write_clips(corrected, [["Dog"] if clip == 1 else labels for clip, labels in enumerate(LABELS)])
    before, _ = listed(study)
    study.manifests = [corrected, *study.manifests]
    after, _ = listed(study)
    gone = (before["class"] == "Dog") & (before["id"] == "--clip_1")
    assert gone.sum() == 1
    assert after[["class", "id"]].values.tolist() == before[~gone][["class", "id"]].values.tolist()


def test_strategies_that_share_a_run_are_one_model(study):
    before, _ = listed(study)
    study.runs = [*study.runs, *(("margin", folder) for _, folder in study.runs[:2])]
    again, _ = listed(study)
    assert again.equals(before)


def test_where_people_listened_the_precision_is_said(study):
    table, text = listed(study, study.heard, CLASSES)
    dogs = table[table["class"] == "Dog"].set_index("id")["heard"]
    assert dogs[["--clip_1", "--clip_4", "--clip_6"]].tolist() == ["1", "0", ""]
    assert (table.loc[table["class"] == "Cat", "heard"] == "").all()
    # Of the three negatives that people listened to, a dog was heard in one.
    assert "| Dog   |    33.3% |    33.3% |     33.3% |         33.3% |" in text
    assert ", heard" in text


def test_what_people_heard_in_clips_of_unknown_label_counts(study):
    """Dog is known to be absent from clip 5 alone; people heard a dog in 1 and none in 4."""
    manifest = pd.read_csv(study.manifests[0], keep_default_na=False)
    manifest["negatives"] = ["Dog" if clip == 5 else "" for clip in range(len(LABELS))]
    manifest.to_csv(study.manifests[0], index=False)
    study.settings["classes"] = ["Dog"]
    study.runs = study.runs[:2]
    table, text = listed(study, study.heard, CLASSES)
    heard = table.set_index("id")["heard"]
    assert heard[["--clip_1", "--clip_4", "--clip_5", "--clip_6"]].tolist() == ["1", "0", "0", ""]
    assert "| Dog   |    33.3% |    33.3% |     33.3% |         33.3% |" in text


def test_a_data_set_without_links_and_relations(study, monkeypatch):
    plain = datasets.Dataset(kind="clips", class_names=())
    monkeypatch.setattr(datasets, "load", lambda name: plain)
    table, text = listed(study)
    assert (table[["link", "related_labels"]] == "").all(axis=None)
    assert "\\_3 at 30 s, probability" in text
