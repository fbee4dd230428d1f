"""Event detection in words: means and spread over seeds, and what a model gets for nothing."""

from partly_labelled import detected, settings_of_methods, study

from weakneg.report.events_text import events_text
from weakneg.report.formatting import DASH

WAYS = {"bce": ("Naive AN", "1 positive"), "mine": ("*Mine*", "1 positive")}


def written(table) -> str:
    return events_text(table, study(settings_of_methods(["a", "b", "c"], WAYS)))


def known(*values) -> list[str]:
    """What the seeds agree on."""
    return [f"{value} ± .000" for value in values]


def test_every_method_has_its_mean_and_what_knows_nothing_comes_last():
    text = written(detected(WAYS))
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["Naive AN", ".510 ± .127", *known(".200", ".300", ".250", ".350")],
        ["\\*Mine\\*", ".610 ± .127", *known(".300", ".400", ".350", ".450")],
        ["the same everywhere", ".159", *[DASH] * 4],
    ]
    assert "1,234 test clips, 3 classes; mean over 2 seeds, ±" in text


def test_with_one_seed_there_is_no_spread():
    assert "±" not in written(detected(WAYS, n_seeds=1))
