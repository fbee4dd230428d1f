"""truth.csv and truth.md: models and labels against what people heard, by hand."""

import pandas as pd
import pytest
from heard import CLASSES, HEARD, LABELS, Study
from selections import write_clips

from weakneg.analysis.truth import COLUMNS
from weakneg.errors import UserError
from weakneg.report.truth import judge_truth


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def judge(study, classes=CLASSES):
    judge_truth(study.runs, study.manifests, study.heard, classes, study.settings, study.tables)
    return pd.read_csv(study.tables / "truth.csv"), (study.tables / "truth.md").read_text()


def test_each_model_is_judged_by_labels_and_by_listening_on_the_same_clips(study):
    table, _ = judge(study)
    assert table.columns.tolist() == COLUMNS
    assert table["class"].unique().tolist() == ["Dog"]
    table = table.set_index(["strategy", "seed"])
    first = table.loc[("random", 0)]
    # Ranked 0 1 2 3 4 5; by the labels 0, 2 and 3 are positive, by listening 0, 1 and 3.
    assert first["ap_labels"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert first["roc_auc_labels"] == pytest.approx(7 / 9)
    assert first["ap_heard"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert first["roc_auc_heard"] == pytest.approx(8 / 9)
    assert table.loc[("badge", 0), "ap_heard"] == 1
    # The negatives by the labels are 1, 4 and 5; people heard a dog in 1 alone.
    assert first[["precision_25", "precision_50", "base_rate"]].tolist() == [1 / 3] * 3


def test_the_counts_say_which_labels_are_missing_or_wrong(study):
    table, text = judge(study)
    counts = ["clips", "both", "only_labelled", "only_heard", "neither"]
    assert (table[counts] == [6, 2, 1, 1, 2]).all(axis=None)
    assert "6 of the 6 clips of the list are test clips" in text
    assert "| Dog   |     6 |    2 |             1 |          1 |       2 |" in text


def test_a_corrected_class_is_judged_by_its_own_manifest(study):
    """Of three classes, one is judged, which has a manifest of its own after a correction."""
    study.settings["classes"].append("Bark")
    corrected = study.folder / "bags" / "corrected.csv"
    write_clips(corrected, [["Dog"] if clip == 1 else labels for clip, labels in enumerate(LABELS)])
    study.manifests = [corrected, *study.manifests * 2]
    table, text = judge(study)
    assert table["class"].unique().tolist() == ["Dog"]
    assert (table[["both", "only_heard"]] == [3, 0]).all(axis=None)
    assert "| Cat" not in text


def test_differences_from_the_baseline_are_by_both_kinds_of_labels(study):
    table, text = judge(study)
    mean = table.groupby("strategy")["ap_heard"].mean()
    said = f"+{mean['badge'] - mean['random']:.3f}".replace("0.", ".")
    assert f"{said}, 1 of 1" in text
    assert "AP by labels" in text


def test_a_clip_of_unknown_label_is_left_out(study, monkeypatch):
    import weakneg.report.truth as report

    def bags_of_classes(*arguments):
        for bags in real(*arguments):
            bags.label[5] = -1
            yield bags

    real = report.bags_of_classes
    monkeypatch.setattr(report, "bags_of_classes", bags_of_classes)
    table, _ = judge(study)
    assert (table["clips"] == 5).all()
    assert (table["neither"] == 1).all()


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("id,labels\n--clip_0,dgo\n", "does not have 'dog': name some of its labels (dgo)"),
        ("id,labels\nelsewhere,dog\n", "none of the 1 clips of the list of what was heard is in"),
        ("id,labels\n--clip_0,dog\n", "Dog: 1 of the 1 test clips that people listened to are"),
        ("id,labels\n--clip_0,dog\n--clip_1,dog\n", "Dog: 2 of the 2 test clips that people"),
    ],
)
def test_a_list_that_cannot_judge_is_one_sentence(study, heard, said):
    study.heard.write_text(heard)
    with pytest.raises(UserError) as caught:
        judge(study)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_clips_of_the_list_that_are_no_test_clips_are_counted(study):
    study.heard.write_text(HEARD + "elsewhere,,dog\n")
    table, text = judge(study)
    assert (table["clips"] == 6).all()
    assert "6 of the 7 clips of the list are test clips" in text


def test_scores_of_other_clips_are_one_sentence(study):
    path = study.runs[0][1] / "scores.parquet"
    scores = pd.read_parquet(path)
    scores[scores["bag"] != 1003].to_parquet(path)
    with pytest.raises(UserError, match=r"lacks bags of .*delete it, and run again"):
        judge(study)
