"""Studies with corrections: which classes and splits they change, and what is refused."""

import pytest

from weakneg.config.load import load_study
from weakneg.config.stages import AcquireSettings, CorrectionSettings, FeaturesSettings, RunSettings
from weakneg.errors import UserError
from weakneg.workspace.results import Results

STUDY = """\
title: Mine
dataset: {name: recordings, list: list.csv, folder: sounds}
model: {name: cnn}
strategies: [random]
"""
LIST = "file,labels,split\n" + "".join(
    f"{name}{n}.wav,{name},{split}\n"
    for name in ("Dog", "Cat", "Owl")
    for n, split in enumerate(["train", "train", "test"])
)
HEADER = "id,start,labels,negatives,unsure"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study corrected by these lines, in a list beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "sounds").mkdir(parents=True)
    (tmp_path / "mine" / "list.csv").write_text(LIST)

    def study(*lines: str, more: str = ""):
        name = f"heard_{abs(hash(lines))}.csv"
        (tmp_path / "mine" / name).write_text("\n".join([HEADER, *lines]) + "\n")
        text = STUDY + more + (f"corrections: {name}\n" if lines else "")
        (tmp_path / "mine" / "mine.yaml").write_text(text)
        return load_study("mine/mine.yaml")

    return study


def test_only_the_corrected_split_of_a_class_has_bags_of_its_own(study):
    results = Results(study("Cat0.wav,0,Dog,,", "mine/sounds/Dog2.wav@0,0,,Owl;Dog,"))
    shared = {split: f"results/mine/bags/{split}.csv" for split in ("train", "test")}
    assert results.manifest("train", "dog") == "results/mine/bags/corrected/dog/train.csv"
    assert results.manifest("test", "dog") == "results/mine/bags/corrected/dog/test.csv"
    for name in ("cat", "owl"):  # that Dog2 is no owl was known
        assert {split: results.manifest(split, name) for split in shared} == shared
    assert results.manifests("train") == [
        shared["train"],
        results.manifest("train", "dog"),
        shared["train"],
    ]


def test_corrections_change_no_settings_of_sound_features_and_runs(study):
    before, after = study(), study("Cat0.wav,0,Dog,,")
    for settings in (
        lambda study: AcquireSettings.of(study, "train", "000"),
        FeaturesSettings.of,
        lambda study: RunSettings.of(study, "random"),
    ):
        assert settings(before).text() == settings(after).text()
    assert Results(before).report == Results(after).report
    assert "corrections" not in before.model_dump()


def test_the_digest_of_a_class_depends_on_its_own_lines_only(study):
    def digest(*lines: str) -> str:
        return CorrectionSettings.of(study(*lines), "dog", "train").digest

    alone = digest("Cat0.wav,0,Dog,,")
    assert digest("Owl0.wav,0,Cat,,", "Cat0.wav,0,Dog,,", "Cat2.wav,0,Dog,,") == alone
    assert digest("Cat0.wav,0,,,Dog") != alone


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Dgo0.wav,0,Dog,,", "line 2: 'Dgo0.wav' is not a recording; did you mean 'Dog0.wav'?"),
        ("Dog0.wav,0,Dgo,,", "line 2: 'Dgo' is not a class; did you mean 'Dog'?"),
    ],
)
def test_a_line_about_what_does_not_exist_is_refused(study, line, said):
    with pytest.raises(UserError) as error:
        study(line)
    assert str(error.value).startswith("mine/mine.yaml: mine/heard_")
    assert said in str(error.value)


def test_lists_that_contradict_each_other_are_refused(study, tmp_path):
    (tmp_path / "mine" / "again.csv").write_text(f"{HEADER}\nsounds/Cat0.wav@0,0,,Dog,\n")
    (tmp_path / "mine" / "first.csv").write_text(f"{HEADER}\nCat0.wav,0,Dog,,\n")
    with pytest.raises(
        UserError, match=r"first\.csv, line 2: 'Dog' in 'Cat0\.wav' is corrected twi"
    ):
        study(more="corrections: [first.csv, again.csv]\n")


def test_a_data_set_that_is_not_ones_own_has_no_corrections(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: D\nextends: digits\ncorrections: heard.csv\n")
    with pytest.raises(UserError, match="corrections: digits is not a list of recordings of your"):
        load_study(path)
