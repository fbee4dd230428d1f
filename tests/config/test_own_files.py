"""Strategies and losses in files of a user's own: how a study names them, and their mistakes."""

import shutil

import pytest

from weakneg.config import load as config
from weakneg.config.report import FigureSettings
from weakneg.config.stages import RunSettings
from weakneg.errors import UserError
from weakneg.workspace.results import code_of

STRATEGY = """\
from typing import Literal

from weakneg.strategies.pool import top_k

DISPLAY_NAME = "Mine!"
LOOK = {"colour": "#332288", "marker": "h"}


def select(pool, k, generator, *, order: Literal["hardest", "easiest"] = "hardest"):
    return top_k(pool, pool.logits if order == "hardest" else -pool.logits, k)
"""
LOSS = "def loss(batch, *, power: float = 2.0):\n    return batch.logits**power\n"
STUDY = "title: Mine\nextends: digits\nstrategies: {}\ntraining: {{loss: {}}}\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a folder of a study's own files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    (tmp_path / "study/my_strategy.py").write_text(STRATEGY)
    (tmp_path / "study/my_loss.py").write_text(LOSS)
    return tmp_path


@pytest.fixture
def study(here):
    """Makes a study of strategies, a loss and more lines."""

    def make(strategies="[random]", loss="bce", lines="", said="study/own.yaml"):
        (here / "study/own.yaml").write_text(STUDY.format(strategies, loss) + lines)
        return config.load_study(said)

    return make


def message(*arguments) -> str:
    study, *rest = arguments
    with pytest.raises(UserError) as caught:
        study(*rest)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ----------------------------------------------------------------------------- spellings
def test_a_strategy_is_named_by_its_path_and_called_by_its_file(study):
    found = study(
        "[random, ./my_strategy.py, "
        "{name: far, strategy: ../study/my_strategy.py, order: easiest}, "
        "{name: trimmed_mine, strategy: trimmed, then: my_strategy.py}, {name: nested, strategy: "
        "trimmed, then: {strategy: trimmed, then: {strategy: ./my_strategy.py, order: easiest}}}]"
    )
    path = "study/my_strategy.py"
    assert found.strategy_names == ["random", "my_strategy", "far", "trimmed_mine", "nested"]
    hardest, easiest = ({"strategy": path, "order": order} for order in ("hardest", "easiest"))
    settings = {name: RunSettings.of(found, name) for name in found.strategy_names}
    assert settings["my_strategy"].strategy == settings["far"].strategy == path
    assert settings["far"].options == {"order": "easiest"}
    assert settings["trimmed_mine"].options["then"] == hardest
    assert settings["nested"].options["then"]["then"] == easiest
    for name in found.strategy_names:
        assert (f"strategies.{path}" in settings[name].plugins) is (name != "random")
        assert RunSettings.model_validate_json(settings[name].text()) == settings[name]


@pytest.mark.parametrize("loss", ["./my_loss.py", "{name: my_loss.py, power: 0.5}"])
def test_a_loss_is_named_by_its_path(study, loss):
    settings = RunSettings.of(study(loss=loss), "random")
    power = 0.5 if "power" in loss else 2.0
    assert settings.training.loss.model_dump() == {"name": "study/my_loss.py", "power": power}
    assert "losses.study/my_loss.py" in settings.plugins


def test_a_loss_in_a_list_or_of_one_strategy_gives_names_by_its_file(study):
    strategies = "[random, {name: careful, strategy: my_strategy.py, loss: my_loss.py}]"
    found = study(strategies, lines="losses: [bce, ./my_loss.py]")
    assert found.strategy_names == ["random", "random_my_loss", "careful"]
    for name in ("random_my_loss", "careful"):
        assert RunSettings.of(found, name).training.loss.name == "study/my_loss.py"


def test_a_loss_of_a_method_is_that_beside_the_study(here):
    """There may be another of its name in the working directory."""
    loss = (here / "study/my_loss.py").read_text()
    (here / "my_loss.py").write_text(loss)
    (here / "study/many.yaml").write_text(
        "title: Many\ndataset: {name: audioset_vggish}\nmodel: {name: mlp}\nclasses: [Dog]\n"
        "task: multilabel\nmethods: [bce, my_loss.py]\n"
    )
    found = config.load_study("study/many.yaml")
    losses = {RunSettings.of(found, name).training.loss.name for name in found.strategy_names}
    assert losses == {"bce", "study/my_loss.py"}


def test_the_way_to_a_file_makes_no_difference(study, here):
    strategies = "[random, ./my_strategy.py]"
    expected = RunSettings.of(study(strategies), "my_strategy")
    assert RunSettings.of(study("[random, .//../study/my_strategy.py]"), "my_strategy") == expected
    assert (
        RunSettings.of(study(strategies, said=f"{here}/study/own.yaml"), "my_strategy") == expected
    )


def test_an_inherited_path_is_relative_to_the_file_that_says_it(study, here):
    study("[random, ./my_strategy.py]", "./my_loss.py")
    (here / "other.yaml").write_text("title: Other\nextends: study/own.yaml\n")
    settings = RunSettings.of(config.load_study("other.yaml"), "my_strategy")
    assert settings.strategy == "study/my_strategy.py"
    assert settings.training.loss.name == "study/my_loss.py"


def test_a_file_says_its_name_and_look(study):
    settings = FigureSettings.of(
        study(
            "[random, my_strategy.py, {name: my_strategy_far, strategy: my_strategy.py, order: "
            "easiest}, {name: trimmed_my_strategy, strategy: trimmed, then: my_strategy.py}]"
        )
    )
    shown = ["Random", "Mine!", "Mine!, far", "Mine!, trimmed"]
    assert list(settings.display_names.values()) == shown
    assert settings.looks.keys() == {"random", "my_strategy"}


# ----------------------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no file study/mine.py"),
        (
            "def choose(): ...",
            "study/mine.py must define a function 'select', as every strategy does",
        ),
        ("select = print", "study/mine.py must define a function 'select', as every strategy does"),
        ("\ndef select(:", "study/mine.py, line 2: invalid syntax"),
        ("\0", "study/mine.py: source code string cannot contain null bytes"),
        (
            f"import helper\n{STRATEGY}",
            "study/mine.py imports 'helper' from a file beside it: a strategy must be one file",
        ),
        (
            f"{STRATEGY}    from folder.x import y\n",
            "study/mine.py imports 'folder' from a file beside it: a strategy must be one file",
        ),
        (
            f"from . import helper\n{STRATEGY}",
            "study/mine.py imports '.' from a file beside it: a strategy must be one file",
        ),
        (
            "def select(pool, k, generator, *, n: float): ...",
            "option 'n' of strategy 'study/mine.py' needs a default",
        ),
        (
            "def select(pool, k, generator, *, n: float = N): ...",
            "option 'n' of strategy 'study/mine.py' must have a literal default and literal limits",
        ),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_strategy_that_cannot_be_used_is_one_line(study, here, text, expected, inside):
    (here / "study/folder").mkdir()
    for name in ("helper.py", "folder/x.py"):
        (here / "study" / name).touch()
    if text is not None:
        (here / "study/mine.py").write_text(text)
    strategies = "[random, {name: t, strategy: trimmed, then: ./mine.py}]"
    key = "strategies[1].then" if inside else "strategies[1]"
    found = message(study, strategies if inside else "[random, ./mine.py]")
    assert found == f"study/own.yaml: {key}: {expected}"


@pytest.mark.parametrize(
    ("loss", "lines", "expected"),
    [
        ("./none.py", "", "training.loss: there is no file study/none.py"),
        ("{name: none.py}", "", "training.loss.name: there is no file study/none.py"),
        ("bce", "losses: [bce, none.py]", "losses[1]: there is no file study/none.py"),
        (
            "my_strategy.py",
            "",
            "training.loss: study/my_strategy.py must define a function 'loss', as every loss does",
        ),
        (
            "{name: my_loss.py, pover: 2}",
            "",
            "training.loss.pover: 'pover' is not an option of study/my_loss.py; did you mean "
            "'power'? Allowed: power",
        ),
        (
            "bce.py",
            "",
            "training.loss: study/bce.py has the name of a loss of the library: rename the file",
        ),
        (
            "My-loss.py",
            "",
            "training.loss: the name of study/My-loss.py must consist of a-z, 0-9 and _",
        ),
    ],
)
def test_a_loss_that_cannot_be_used_is_one_line(study, here, loss, lines, expected):
    for name in ("bce", "My-loss"):
        shutil.copy(here / "study/my_loss.py", here / f"study/{name}.py")
    assert message(study, "[random]", loss, lines) == f"study/own.yaml: {expected}"


def test_a_strategy_may_not_have_the_name_of_another(study, here):
    shutil.copy(here / "study/my_strategy.py", here / "study/badge.py")
    library = "study/badge.py has the name of a strategy of the library: rename the file"
    assert message(study, "[random, badge.py]") == f"study/own.yaml: strategies[1]: {library}"
    twice = "strategies[2]: 'my_strategy' is listed twice"
    (here / "study/more").mkdir()
    shutil.copy(here / "study/my_strategy.py", here / "study/more")
    found = message(study, "[random, my_strategy.py, more/my_strategy.py]")
    assert found == f"study/own.yaml: {twice}"
    named = (
        "strategies[1]: a strategy with options needs a name, such as 'name: my_strategy_easiest'"
    )
    found = message(study, "[random, {strategy: my_strategy.py, order: easiest}]")
    assert found == f"study/own.yaml: {named}"


def test_a_package_that_a_folder_of_data_has_the_name_of_may_be_imported(study, here):
    (here / "study/numpy").mkdir()
    (here / "study/numpy/list.csv").touch()
    (here / "study/mine.py").write_text(f"import numpy\nimport weakneg.strategies\n{STRATEGY}")
    assert study("[random, mine.py]").strategy_names == ["random", "mine"]


# ----------------------------------------------------------------------------- reruns
def test_a_file_is_among_the_code_of_the_runs_that_use_it_alone(study):
    found = study(
        "[random, my_strategy.py, {name: t, strategy: trimmed, then: my_strategy.py}, "
        "{name: l, strategy: random, loss: my_loss.py}]"
    )
    used = {name: code_of(RunSettings.of(found, name))[2:] for name in found.strategy_names}
    assert [name for name in used if "strategies.study/my_strategy.py" in used[name]] == [
        "my_strategy",
        "t",
    ]
    assert [name for name in used if "losses.study/my_loss.py" in used[name]] == ["l"]
