"""What people read of a strategy, and how figures draw it, as its file says."""

import pytest

from weakneg import strategies
from weakneg.errors import UserError
from weakneg.workspace.fingerprint import explain


def test_variants_of_a_strategy_are_called_by_its_name():
    assert strategies.display_name("badge", "badge") == "BADGE"
    assert strategies.display_name("badge", "badge_known") == "BADGE, known"
    name = "kl_embedding_two_words"
    assert strategies.display_name("kl_embedding", name) == "KL (embedding), two words"
    assert strategies.display_name("badge", "badger") == "badger"


def test_a_name_may_contain_that_of_the_strategy_that_chooses_from_the_rest():
    def shown(name, strategy, **options):
        return strategies.display_name("trimmed", name, {"then": {"strategy": strategy, **options}})

    assert strategies.display_name("trimmed", "trimmed") == "Random, trimmed"
    assert shown("trimmed_badge", "badge") == "BADGE, trimmed"
    assert shown("trimmed_badge_known", "badge", loss_label="known") == "BADGE, trimmed, known"
    assert shown("trimmed_half", "kl_probability") == "KL (probability), trimmed, half"
    assert shown("trimmed_kl_probability", "kl_probability") == "KL (probability), trimmed"
    nested = shown("trimmed_trimmed_badge", "trimmed", then={"strategy": "badge"})
    assert nested == "BADGE, trimmed, trimmed"
    assert shown("careful", "badge") == "careful"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The file of a strategy of one's own."""
    monkeypatch.setattr(strategies, "_FOLDER", tmp_path)
    path = tmp_path / "mine.py"
    path.write_text("def select(pool, k, generator): ...\n")
    return path


def test_a_file_that_says_nothing_is_called_by_its_name(mine):
    assert strategies.display_name("mine", "mine") == "mine"
    assert strategies.display_name("mine", "mine_fast") == "mine_fast"
    assert strategies.look("mine") is None


def test_a_file_says_its_name_and_look(mine):
    look = {"colour": "#332288", "marker": "h", "dashes": [2, 1]}
    mine.write_text(f'DISPLAY_NAME = "Mine!"\nLOOK = {look}\n{mine.read_text()}')
    assert strategies.display_name("mine", "mine") == "Mine!"
    assert strategies.display_name("mine", "mine_fast") == "Mine!, fast"
    assert strategies.look("mine") == look


def test_a_file_beside_a_study_says_so_too(tmp_path):
    path = tmp_path / "halved.py"
    path.write_text(
        'DISPLAY_NAME = "Half of {then}"\ndef select(pool, k, generator, *, then: Select): ...'
    )
    assert strategies.display_name(str(path), "halved") == "Half of Random"
    given = {"then": {"strategy": "badge", "loss_label": "known"}}
    assert strategies.display_name(str(path), "halved_badge_known", given) == "Half of BADGE, known"
    inside = {"then": {"strategy": str(path)}}
    assert strategies.display_name("trimmed", "trimmed_halved", inside) == "Half of Random, trimmed"


def test_a_name_that_is_computed_is_refused(mine):
    mine.write_text(f"DISPLAY_NAME = 'Mine'.upper()\n{mine.read_text()}")
    with pytest.raises(UserError, match="DISPLAY_NAME of 'mine' must be a literal"):
        strategies.display_name("mine", "mine")


@pytest.mark.parametrize("look", [{"color": "red"}, {"colour": "red"}, ["red", "o"]])
def test_a_look_that_lacks_a_part_is_refused(mine, look):
    mine.write_text(f"LOOK = {look}\n{mine.read_text()}")
    with pytest.raises(UserError, match="LOOK of strategy 'mine' must have"):
        strategies.look("mine")


def test_those_of_the_paper_say_both_and_differ():
    names = strategies.names()
    assert len({strategies.display_name(name, name) for name in names} - {*names}) == len(names)
    assert len({str(strategies.look(name)) for name in names}) == len(names)


def test_training_does_not_depend_on_it():
    reached = explain(
        "weakneg.training.run:train_run",
        ["models.mlp", "strategies.badge", "losses.bce", "batches.plain"],
    )
    assert "weakneg.strategies.badge:select" in reached
    assert not any(name.endswith((":DISPLAY_NAME", ":LOOK")) for name in reached)
