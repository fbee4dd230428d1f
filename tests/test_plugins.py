"""Plugins are found by what their files define, and nothing is imported."""

import ast

import pytest

from weakneg import plugins
from weakneg.errors import UserError

MINE = """\
import what_is_not_installed

KIND: str = "images"
BETAS = (0.9, 0.99)

def select(pool, *, tail=0.5):
    HIDDEN = 1
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text("from mine import KIND, select\n")
    for name in ("__init__.py", "_private.py"):
        (tmp_path / name).write_text("def select(): pass\n")
    return tmp_path


def test_a_plugin_defines_the_name_itself(folder):
    assert plugins.names(folder, "select") == plugins.names(folder, "KIND") == ["mine"]
    assert plugins.names(folder, "HIDDEN") == []


def test_constants_are_read_from_the_source(folder):
    assert plugins.constant(folder, "mine", "KIND") == "images"
    assert plugins.constant(folder, "mine", "BETAS") == (0.9, 0.99)
    assert plugins.constant(folder, "mine", "OTHER") is None
    assert plugins.constant(folder, "mine", "OTHER", 7) == 7


def test_a_function_is_read_from_the_source(folder):
    function = plugins.function(folder, "mine", "select")
    assert ast.unparse(function.args) == "pool, *, tail=0.5"


def test_an_unknown_name_is_answered_with_the_nearest():
    message = "^no figure is called 'pi': did you mean 'pie'? choose one of bar, pie.$"
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        plugins.check_name("pi", ["bar", "pie"], "figure")
    with pytest.raises(UserError, match=r"^no figure is called 'x': choose one of bar\.$"):
        plugins.check_name("x", ["bar"], "figure")


# ----------------------------------------------------------------------------- a user's own files
def test_a_name_with_py_is_the_path_of_a_users_own_file():
    assert plugins.is_own("study/mine.py")
    assert not plugins.is_own("mine")
    assert plugins.stem("study/mine.py") == plugins.stem("mine") == "mine"


def test_a_users_own_file_is_loaded_once_and_may_define_a_dataclass(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Two:\n    a: int = 2\n"
    )
    module = plugins.load_own(str(path))
    assert module.Two().a == 2
    assert plugins.load_own(str(tmp_path / "." / "mine.py")) is module
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.py"]
