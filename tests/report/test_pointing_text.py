"""The pointing game in words: means over classes, the spread over seeds, and what chance does."""

import pytest
from partly_labelled import pointed, settings_of_methods, study

from weakneg.report.pointing_text import by_method, pointing_text

WAYS = {"bce": ("Naive AN", "1 positive"), "mine": ("Mine", "1 positive")}
CLASSES = ["a, b", "*c*"]


def written(table) -> str:
    return pointing_text(table, study(settings_of_methods(CLASSES, WAYS)))


def test_every_method_has_its_mean_and_chance_comes_last():
    text = written(pointed(WAYS, CLASSES))
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    # Means over classes differ by .02 from seed to seed: t = 12.7 for one degree of freedom.
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["Naive AN", "53.0% ± 12.7%", ".450 ± .000"],
        ["Mine", "63.0% ± 12.7%", ".550 ± .000"],
        ["chance", "45.0%", ".350"],
    ]
    assert "Mean over 2 classes and 2 seeds" in text
    assert text.endswith("Bags: a, b 10, \\*c\\* 11.\n")


def test_with_one_seed_there_is_no_spread():
    assert "±" not in written(pointed(WAYS, CLASSES, n_seeds=1))


def test_a_class_with_many_bags_counts_as_much_as_one_with_few():
    table = pointed(WAYS, CLASSES)
    table.loc[table["class"] == "*c*", "bags"] = 1000
    assert by_method(table)["pointing"].tolist() == pytest.approx([0.53, 0.63])
