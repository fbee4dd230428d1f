"""The fingerprint of a stage: it changes with the code that the stage can reach, and only then."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from weakneg import plugins as registry
from weakneg import stages
from weakneg.config.stages import RunSettings
from weakneg.errors import UserError
from weakneg.stages import entry
from weakneg.workspace import fingerprint as module
from weakneg.workspace import source_code
from weakneg.workspace.fingerprint import digest_of_sources, explain, fingerprint

SOURCES = {
    "weakneg/__init__.py": '"""The package."""\n',
    "weakneg/training/__init__.py": "from .steps import STEPS\n",
    "weakneg/training/steps.py": "STEPS = 10\n",
    "weakneg/training/loop.py": '''\
"""The loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weakneg import strategies

from .optimiser import LEARNING_RATE

if TYPE_CHECKING:
    from weakneg.config import Settings


@dataclass
class State:
    """What a run knows."""

    epoch: int
    best: float = 0.0


def train(settings: Settings, x):
    """Train.

    Twice.
    """
    from weakneg.losses import loss

    select = strategies.load(settings.strategy)
    y = np.tanh(2 * x)  # squashed
    return select(y), loss(y), LEARNING_RATE
''',
    "weakneg/training/optimiser.py": "LEARNING_RATE = 0.001\n",
    "weakneg/losses.py": "import torch\n\ndef loss(y):\n    return torch.exp(y)\n",
    "weakneg/strategies/__init__.py": (
        "import importlib\n\n"
        'def load(name):\n    return importlib.import_module(f"{__name__}.{name}").select\n'
    ),
    "weakneg/strategies/pool.py": "def top_k(x):\n    return sorted(x)\n",
    "weakneg/strategies/badge.py": (
        "from weakneg.strategies.pool import top_k\n\ndef select(x):\n    return top_k(x)\n"
    ),
    "weakneg/strategies/margin.py": (
        "from weakneg.strategies.pool import top_k\n\ndef select(x):\n    return top_k(-x)\n"
    ),
    "weakneg/strategies/random.py": "def select(x):\n    return x\n",
    "weakneg/config.py": "class Settings:\n    strategy = 'badge'\n",
    "weakneg/figures.py": "import matplotlib\n\nCOLOUR = 'red'\n",
    "requirements.txt": (
        "# a lock\n"
        "numpy==2.4.0 ; python_version >= '3.12' \\\n    --hash=sha256:aa \\\n"
        "    --hash=sha256:bb\n"
        "numpy==2.3.0 ; python_version < '3.12' \\\n    --hash=sha256:cc\n    # via scipy\n"
        "pandas==2.3.0 \\\n    --hash=sha256:dd\n"
        "torch==2.11.0 \\\n    --hash=sha256:ee\n"
    ),
}
LOOP = "weakneg/training/loop.py"


@pytest.fixture
def tree(tmp_path_factory):
    """Writes the sources, with text replaced in some of them, to a new folder each time."""

    def write(file: str | None = None, old: str = "", new: str = "") -> Path:
        folder = tmp_path_factory.mktemp("tree")
        for path, text in SOURCES.items():
            if path == file:
                assert old in text
                text = text.replace(old, new)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    return write


def of(folder: Path, strategy: str | None = "badge", entry: str = "weakneg.training.loop") -> str:
    plugins = [f"strategies.{strategy}"] if strategy else []
    return fingerprint(entry, plugins, package=folder / "weakneg", lock=folder / "requirements.txt")


# ----------------------------------------------------------------------------- the digest
def test_the_digest_changes_with_every_file(tree):
    """A job takes it for a sign that no fingerprint has changed."""

    def digest(folder: Path) -> str:
        return digest_of_sources(folder / "weakneg", folder / "requirements.txt")

    plain = digest(tree())
    assert digest(tree()) == plain
    edited = {file: digest(tree(file, "\n", " \n")) for file in SOURCES}
    assert plain not in edited.values()
    moved = tree()
    (moved / "weakneg/config.py").rename(moved / "weakneg/settings.py")
    assert digest(moved) != plain


def test_what_an_editor_leaves_is_no_source(tree, monkeypatch):
    """Emacs marks a file that is being edited by a link that leads nowhere."""
    folder = tree()
    plain = digest_of_sources(folder / "weakneg", folder / "requirements.txt")
    known = registry.names(folder / "weakneg/strategies", "select")
    for place in ("", "strategies"):
        (folder / "weakneg" / place / ".#badge.py").symlink_to("me@here.123")
    assert digest_of_sources(folder / "weakneg", folder / "requirements.txt") == plain
    registry._names.cache_clear()
    assert registry.names(folder / "weakneg/strategies", "select") == known != []
    monkeypatch.setattr(stages, "_PACKAGE", folder / "weakneg")
    stages.entries.cache_clear()
    try:
        stages.entries()
    finally:
        stages.entries.cache_clear()


@pytest.mark.parametrize("name", ["page.html", "base.html", "macros.html", "page.css", "page.js"])
def test_a_page_is_made_again_where_anything_it_consists_of_is_edited(tmp_path, name):
    of_page = entry("write_report"), []
    found = []
    for more in ("", "<!-- -->"):
        package = tmp_path / f"copy{more and 2}" / "weakneg"
        shutil.copytree(module.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        with (package / "report/page" / name).open("a") as file:
            file.write(more)
        found.append(fingerprint(*of_page, package=package))
    assert found[0] == fingerprint(*of_page)
    assert found[1] != found[0]


# ----------------------------------------------------------------------------- the entry module
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # squashed", ""),
        ("  # squashed", "  # squashed\n    # and more"),
        ('    """What a run knows."""\n\n', ""),
        ('    """Train.\n\n    Twice.\n    """\n', '    """Train a classifier."""\n'),
        ('"""The loop."""', ""),
        ("np.tanh(2 * x)", "np.tanh(\n        2 * x,\n    )"),
        ("0.0", "0.00"),
        ("(settings: Settings, x)", "(settings, x)"),
        ("x):", 'x: "np.ndarray") -> float:'),
        ("best: float = 0.0", "best: float | None = 0.0"),
        ("y = np", "y: float = np"),
        ("from weakneg.config import Settings", "from weakneg.figures import Settings"),
        (
            "from dataclasses import dataclass\nfrom typing import TYPE_CHECKING\n",
            "from typing import TYPE_CHECKING\nfrom dataclasses import dataclass\n",
        ),
    ],
)
def test_what_only_documents_leaves_the_fingerprint(tree, old, new):
    assert of(tree(LOOP, old, new)) == of(tree())


def test_an_import_for_a_hint_leaves_the_fingerprint(tree):
    folder = tree(LOOP, "import numpy as np\n", "import numpy as np\nfrom torch import Tensor\n")
    path = folder / LOOP
    path.write_text(path.read_text().replace("Settings, x)", "Settings, x: 'Tensor | None')"))
    assert of(folder) == of(tree())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2 * x", "3 * x"),
        ("2 * x", "x * 2"),
        ("np.tanh", "np.sinh"),
        ("best: float = 0.0", "best: float = 1.0"),
        ("epoch: int", "step: int"),
        ("    epoch: int\n", "    epoch: int = 1\n"),
        ("epoch: int", "epoch: ClassVar[int]"),
        ("@dataclass\n", ""),
        ("import numpy as np", "import math as np"),
        ("return select(y), loss(y)", "return loss(y), select(y)"),
        ("    y = np", "    import os\n    y = np"),
    ],
)
def test_what_can_change_a_result_changes_the_fingerprint(tree, old, new):
    assert of(tree(LOOP, old, new)) != of(tree())


# ----------------------------------------------------------------------------- what it reaches
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("weakneg/training/optimiser.py", "0.001", "0.01"),  # relative import
        ("weakneg/losses.py", "exp", "log"),  # import inside of a function
        ("weakneg/strategies/__init__.py", ".select", ".choose"),  # from weakneg import strategies
        ("weakneg/training/__init__.py", "STEPS\n", "STEPS\nprint()\n"),  # the package around it
        ("weakneg/training/steps.py", "10", "10\nprint()"),  # what the package around it imports
        ("weakneg/__init__.py", '"""The', 'print()\n"""The'),
    ],
)
def test_code_that_is_reached_counts(tree, file, old, new):
    assert of(tree(file, old, new)) != of(tree())


@pytest.mark.parametrize("file", ["weakneg/config.py", "weakneg/figures.py"])
def test_a_module_that_is_not_reached_does_not_count(tree, file):
    changed = tree()
    (changed / file).write_text("ANYTHING = 1\n")
    assert of(changed) == of(tree())


def test_one_strategy_does_not_change_another(tree):
    changed = tree("weakneg/strategies/badge.py", "top_k(x)", "top_k(2 * x)")
    assert of(changed, "badge") != of(tree(), "badge")
    assert of(changed, "margin") == of(tree(), "margin")
    assert of(changed, "random") == of(tree(), "random")


def test_a_helper_changes_the_strategies_that_use_it(tree):
    changed = tree("weakneg/strategies/pool.py", "sorted(x)", "sorted(x)[::-1]")
    assert of(changed, "badge") != of(tree(), "badge")
    assert of(changed, "margin") != of(tree(), "margin")
    assert of(changed, "random") == of(tree(), "random")


def test_strategies_differ(tree):
    assert len({of(tree(), name) for name in ("badge", "margin", "random")}) == 3


def test_a_new_file_changes_nothing(tree):
    changed = tree()
    (changed / "weakneg/strategies/new.py").write_text("def select(x):\n    return x\n")
    assert of(changed) == of(tree())


def test_else_of_type_checking_counts(tree):
    old = "    from weakneg.config import Settings\n"
    assert of(tree(LOOP, old, f"{old}else:\n    import math as np\n")) != of(tree())
    assert of(tree(LOOP, old, f"{old}    import math as other\n")) == of(tree())


def test_modules_that_import_each_other_are_no_endless_loop(tree):
    folder = tree("weakneg/losses.py", "import torch", "import torch\nimport weakneg.training.loop")
    assert of(folder) != of(tree())


# ----------------------------------------------------------------------------- a user's own file
OWN = """\
import numpy as np

from weakneg.strategies.pool import top_k


def _halved(x):
    return x / 2


def select(x):
    return top_k(_halved(x))


def unused():
    return 1
"""


@pytest.fixture
def own(tree):
    """Fingerprint with a strategy beside the package, after an edit of it or of `tree`."""

    def make(old: str = "", new: str = "", *edit: str) -> str:
        path = tree().parent / "mine.py"
        assert old in OWN
        path.write_text(OWN.replace(old, new) if old else OWN)
        source_code.module_of.cache_clear()
        module._reach.cache_clear()
        return of(tree(*edit), str(path))

    return make


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return x / 2", "    return x / (2)  # half of it"),
        ("def _halved(x):\n", 'def _halved(x: float) -> float:\n    """Half of it."""\n'),
        ("return 1", "return 2"),
    ],
)
def test_what_only_documents_a_users_own_file_leaves_the_fingerprint(own, old, new):
    assert own(old, new) == own()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x / 2", "x / 3"),  # what it uses
        ("top_k(_halved(x))", "_halved(top_k(x))"),
        ("def unused", "print()\n\n\ndef unused"),  # runs when it is loaded
        ("def unused", "IGNORES_BUDGET = 2\n\n\ndef unused"),
    ],
)
def test_what_a_users_own_file_does_changes_the_fingerprint(own, old, new):
    expected = "IGNORES" not in new  # which nothing in the tree asks for
    assert (own(old, new) != own()) is expected


def test_what_a_users_own_file_imports_counts(own):
    assert own("", "", "weakneg/strategies/pool.py", "sorted(x)", "sorted(x)[::-1]") != own()
    assert own("", "", "requirements.txt", "numpy==2.4.0", "numpy==2.4.1") != own()
    assert own("", "", "weakneg/strategies/margin.py", "-x", "2 * x") == own()


def test_the_parts_name_a_users_own_file_by_its_path(tree):
    folder = tree()
    path = folder / "mine.py"
    path.write_text(OWN)
    lock = folder / "requirements.txt"
    entry = "weakneg.training.loop"
    parts = explain(entry, [f"strategies.{path}"], package=folder / "weakneg", lock=lock)
    assert {f"{path}:select", f"{path}:_halved"} <= parts.keys()
    assert f"{path}:unused" not in parts
    other = folder / "other.py"
    with pytest.raises(UserError, match=rf"^there is no file {other}\.$"):
        of(folder, str(other))
    other.write_text(OWN)
    assert of(folder, str(other))  # that it was missing is not remembered


# ----------------------------------------------------------------------------- definitions
SHARED = """\
import re
from weakneg.losses import loss
from weakneg.training import steps

LIMIT = 3
UNUSED = 4
_PATTERN = re.compile("a+")

def clipped(x):
    return min(x, LIMIT)

def squared(x):
    return x * x

def count():
    return steps.STEPS

class Pool:
    def one(self):
        return squared(1)

    def two(self):
        return 2
"""


@pytest.fixture
def using(tree):
    """A tree with the shared module above, and one more module of the given text, `weakneg.user`.

    Returns its fingerprint, after an edit of the shared module.
    """

    def make(user: str, old: str = "", new: str = "", entry="weakneg.user", plugins=()) -> str:
        folder = tree()
        assert old in SHARED
        shared = SHARED.replace(old, new) if old else SHARED
        (folder / "weakneg/shared.py").write_text(shared)
        (folder / "weakneg/user.py").write_text(user)
        (folder / "weakneg/table.csv").write_text(new or "1")
        plain = f"{shared}\ndef select(x):\n    return clipped(x)\n"
        (folder / "weakneg/strategies/plain.py").write_text(plain)
        lock = folder / "requirements.txt"
        return fingerprint(entry, plugins, package=folder / "weakneg", lock=lock)

    return make


EDIT_CLIPPED = ("min(x, LIMIT)", "max(x, LIMIT)")
EDIT_LIMIT = ("LIMIT = 3", "LIMIT = 5")
EDIT_SQUARED = ("x * x", "x**2")
EDIT_CLASS = ("return 2", "return 3")
EDIT_BODY = ("UNUSED = 4", "UNUSED = 4\nprint()")


@pytest.mark.parametrize(
    ("user", "edits_that_count"),
    [
        ("from weakneg.shared import clipped\nf = clipped", {EDIT_CLIPPED, EDIT_LIMIT}),
        ("from weakneg import shared\nf = shared.clipped", {EDIT_CLIPPED, EDIT_LIMIT}),
        ("import weakneg.shared\nf = weakneg.shared.clipped", {EDIT_CLIPPED, EDIT_LIMIT}),
        ("import weakneg.shared as s\nf = s.LIMIT", {EDIT_LIMIT}),
        ("def f():\n    from .shared import squared as g\n    return g(3)", {EDIT_SQUARED}),
        ("from weakneg.shared import Pool\nf = Pool", {EDIT_CLASS, EDIT_SQUARED}),
        ("from weakneg.shared import count\nf = count", set()),
        (
            "from weakneg import shared\nf = [shared]",  # as a value: anything may be asked of it
            {EDIT_CLIPPED, EDIT_LIMIT, EDIT_SQUARED, EDIT_CLASS},
        ),
        (
            "from weakneg.shared import *\nf = clipped",
            {EDIT_CLIPPED, EDIT_LIMIT, EDIT_SQUARED, EDIT_CLASS},
        ),
        ("import weakneg.shared\nf = 1", set()),
    ],
)
def test_an_edit_counts_where_its_definition_is_used(using, user, edits_that_count):
    before = using(user)
    for edit in (EDIT_CLIPPED, EDIT_LIMIT, EDIT_SQUARED, EDIT_CLASS):
        assert (using(user, *edit) != before) is (edit in edits_that_count), edit
    assert using(user, *EDIT_BODY) != before  # importing runs it
    assert using(user, "UNUSED = 4", "UNUSED = 5") == before or "[shared]" in user or "*" in user


def test_an_entry_may_be_a_function(using):
    user = "from weakneg.shared import clipped, squared\nf = squared\ndef g():\n    return clipped"
    assert using(user, *EDIT_SQUARED, entry="weakneg.user:g") == using(user, entry="weakneg.user:g")
    assert using(user, *EDIT_CLIPPED, entry="weakneg.user:g") != using(user, entry="weakneg.user:g")
    with pytest.raises(UserError, match=r"^there is no h in weakneg.user\.$"):
        using(user, entry="weakneg.user:h")


def test_a_name_is_followed_through_the_package_that_hands_it_on(tree):
    def make(text: str, steps: str = "STEPS = 10\n") -> str:
        folder = tree()
        (folder / "weakneg/training/steps.py").write_text(steps)
        (folder / "weakneg/user.py").write_text(text)
        return of(folder, None, "weakneg.user")

    for text in (
        "from weakneg.training import STEPS\nf = STEPS",
        "from weakneg import training\nf = training.STEPS",
    ):
        assert make(text) != make(text, "STEPS = 20\n")
        assert make(text) == make(text, "STEPS = 10\nOTHER = 2\n")


@pytest.mark.parametrize(
    ("asks", "edits_that_count"),
    [
        ("strategies.load('plain').select(1)", {EDIT_CLIPPED, EDIT_LIMIT}),
        ("getattr(strategies.load('plain'), 'squared')", {EDIT_SQUARED, EDIT_CLIPPED, EDIT_LIMIT}),
        ("getattr(strategies.load('plain'), NAME)", {EDIT_SQUARED, EDIT_CLIPPED, EDIT_LIMIT}),
    ],
)
def test_of_a_plugin_counts_what_is_asked_of_it(using, asks, edits_that_count):
    user = f"from weakneg import strategies\nNAME = input()\ndef f():\n    {asks}\n"
    options = {"entry": "weakneg.user:f", "plugins": ["strategies.plain"]}
    before = using(user, **options)
    for edit in (EDIT_CLIPPED, EDIT_LIMIT, EDIT_SQUARED):
        assert (using(user, *edit, **options) != before) is (edit in edits_that_count), edit


def test_a_stage_that_loads_plugins_names_one(using):
    user = "from weakneg import strategies\ndef f():\n    strategies.load('plain')\n"
    with pytest.raises(UserError, match=r"name a plugin of weakneg.strategies that is loaded\.$"):
        using(user, entry="weakneg.user:f")


def test_a_data_file_that_is_named_counts_by_its_content(using):
    edit = ("UNUSED = 4", "UNUSED = 5")
    assert using("f = 'table.csv'", *edit) != using("f = 'table.csv'")
    assert using("f = 'other.csv'", *edit) == using("f = 'other.csv'")


def test_a_hint_that_works_at_run_time_counts(using):
    plain, model = "class A:\n    x: int\n", "class A(Model):\n    x: int\n"
    assert using(plain) == using(plain.replace("int", "float"))
    assert using(model) != using(model.replace("int", "float"))
    user = "from weakneg.shared import Pool\nclass A(Model):\n    x: Pool\n"
    assert using(user, *EDIT_CLASS) != using(user)
    user = user.replace("x: Pool", "x: 'list[Pool]'")
    assert using(user, *EDIT_CLASS) != using(user)


def test_a_text_that_is_the_name_of_something_imported_is_no_use_of_it(using):
    user = "from weakneg.shared import clipped\ncolumn = 'clipped'\nother = clipped\n"
    column = "weakneg.user:column"
    assert using(user, *EDIT_CLIPPED, entry=column) == using(user, entry=column)


# ----------------------------------------------------------------------------- places
def moved(folder: Path, old: str, new: str, names: str = "") -> Path:
    """The tree with a module renamed, or with some of its definitions in a new module."""
    source, target = (folder / f"{name.replace('.', '/')}.py" for name in (old, new))
    target.parent.mkdir(exist_ok=True)
    (target.parent / "__init__.py").touch()
    text = source.read_text()
    if not names:
        source.rename(target)
        return folder
    head, kept, rest = text.partition(names)
    assert kept
    source.write_text(head + rest)
    target.write_text(names)
    return folder


def rewritten(folder: Path, file: str, old: str, new: str) -> Path:
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return folder


def test_a_renamed_module_leaves_the_fingerprint(tree):
    folder = moved(tree(), "weakneg.training.optimiser", "weakneg.training.adam")
    rewritten(folder, LOOP, "from .optimiser import", "from weakneg.training.adam import")
    assert of(folder) == of(tree())


def test_a_definition_that_moves_to_another_file_leaves_the_fingerprint(tree):
    pool = "def top_k(x):\n    return sorted(x)\n"
    folder = moved(tree(), "weakneg.strategies.pool", "weakneg.numbers.ranking", pool)
    for name in ("badge", "margin"):
        file = f"weakneg/strategies/{name}.py"
        rewritten(folder, file, "weakneg.strategies.pool", "weakneg.numbers.ranking")
    assert of(folder, "badge") == of(tree(), "badge")
    assert of(folder, "margin") == of(tree(), "margin")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from .optimiser import LEARNING_RATE", "from weakneg.training.optimiser import *"),
        ("from .optimiser import LEARNING_RATE", "from .optimiser import LEARNING_RATE as RATE"),
        ("from .optimiser import LEARNING_RATE", "from . import optimiser"),
        ("from weakneg import strategies", "import weakneg.strategies"),
        ("from weakneg import strategies", "from weakneg.strategies import load"),
        ("import numpy as np", "from numpy import tanh"),
        ("    from weakneg.losses import loss", "    from weakneg import losses"),
    ],
)
def test_an_import_spelled_another_way_leaves_the_fingerprint(tree, old, new):
    folder = rewritten(tree(), LOOP, old, new)
    uses = {
        "as RATE": (", LEARNING_RATE", ", RATE"),
        "import optimiser": (", LEARNING_RATE", ", optimiser.LEARNING_RATE"),
        "import weakneg.strategies": ("strategies.load(", "weakneg.strategies.load("),
        "import load": ("strategies.load(", "load("),
        "import tanh": ("np.tanh", "tanh"),
        "import losses": ("loss(y)", "losses.loss(y)"),
    }
    for end, use in uses.items():
        if new.endswith(end):
            rewritten(folder, LOOP, *use)
    # What comes with a star cannot be told from what is built in, so all of the module counts.
    assert (of(folder) == of(tree())) is not new.endswith("*")


def test_two_definitions_of_one_name_are_not_confused(tree):
    """Both are reached; which of them is used is what changes."""
    files = {
        "weakneg/first.py": "def scale(x):\n    return x\n",
        "weakneg/second.py": "def scale(x):\n    return 2 * x\n",
    }
    user = "from weakneg import first, second\n\ndef f(x):\n    return {}.scale({}.scale(x) + 1)\n"

    def make(*order: str) -> str:
        folder = tree()
        for file, text in files.items():
            (folder / file).write_text(text)
        (folder / "weakneg/user.py").write_text(user.format(*order))
        return of(folder, None, "weakneg.user:f")

    assert len({make("first", "second"), make("second", "first"), make("first", "first")}) == 3


def test_definitions_that_trade_places_change_the_fingerprint(tree):
    """`one` becomes what `other` was, and the other way round, under a caller of both."""
    text = "def one(x):\n    return {}\n\n\ndef other(x):\n    return {}\n\n\n"
    text += "def f(x):\n    return one(x) - other(x)\n"

    def make(*bodies: str) -> str:
        folder = tree()
        (folder / "weakneg/user.py").write_text(text.format(*bodies))
        return of(folder, None, "weakneg.user:f")

    assert make("x", "2 * x") != make("2 * x", "x")


INSTANCE = """\
from weakneg.losses import loss

def _fetch():
    return 1

def _read():
    return {images}

DATASET = dict(fetch=_fetch, images=_read, kind="{kind}")
"""


@pytest.mark.parametrize(
    ("uses", "edits_that_count"),
    [
        ("strategies.load('data').images()", {"images"}),
        ("strategies.load('data').fetch()", {"fetch"}),
        ("strategies.load('data').kind", {"kind"}),
        ("getattr(strategies.load('data'), NAME)", {"images", "fetch", "kind"}),
    ],
)
def test_of_an_instance_made_by_keywords_counts_what_is_asked_of_it(tree, uses, edits_that_count):
    user = "from weakneg import strategies\nNAME = input()\ndef f():\n    {}\n"

    def make(**edit: str) -> str:
        folder = tree("weakneg/strategies/__init__.py", ".select", ".DATASET")
        text = INSTANCE.format(images=edit.get("images", "2"), kind=edit.get("kind", "image"))
        text = text.replace("return 1", f"return {edit.get('fetch', '1')}")
        (folder / "weakneg/strategies/data.py").write_text(text)
        (folder / "weakneg/user.py").write_text(user.format(uses))
        return of(folder, "data", "weakneg.user:f")

    for name in ("images", "fetch", "kind"):
        assert (make(**{name: "7"}) != make()) is (name in edits_that_count), name


# ----------------------------------------------------------------------------- packages outside
@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("torch==2.11.0", "torch==2.12.0", False),  # imported by losses, inside of a function
        ("numpy==2.4.0", "numpy==2.4.1", False),
        ("numpy==2.3.0", "numpy==2.3.1", False),  # the pin of another Python
        ("pandas==2.3.0", "pandas==2.3.1", True),  # carries numbers only, and is not imported
        ("sha256:ee", "sha256:ff", True),
        ("# via scipy", "# via scipy and torch", True),
        ("# a lock", "matplotlib==3.11.0", True),  # not imported here
    ],
)
def test_pins_count_where_they_change_numbers(tree, old, new, same):
    assert (of(tree("requirements.txt", old, new)) == of(tree())) is same


def test_a_package_counts_with_those_it_computes_with(tree):
    folder = tree(LOOP, "import numpy as np", "import sklearn as np")
    parts = explain(
        "weakneg.training.loop",
        ["strategies.badge"],
        package=folder / "weakneg",
        lock=folder / "requirements.txt",
    )
    assert parts["numpy"] == "numpy==2.3.0 ; python_version < '3.12'; " + (
        "numpy==2.4.0 ; python_version >= '3.12'"
    )
    assert parts["scikit-learn"] == "not pinned"


def test_no_lock_is_one_line(tree):
    folder = tree()
    (folder / "requirements.txt").unlink()
    with pytest.raises(UserError, match=r"requirements.txt cannot be read .*: run `make lock`"):
        of(folder)


# ----------------------------------------------------------------------------- what it cannot see
@pytest.mark.parametrize(
    "code",
    [
        "import importlib\nimportlib.import_module(NAME)",
        "from importlib import import_module\nimport_module('weakneg.' + NAME)",
        "from importlib import import_module\nimport_module(f'{NAME}')",
        "from importlib import import_module\nimport_module(f'{__name__}.{NAME}')",
        "__import__(NAME)",
    ],
)
def test_import_that_cannot_be_seen_is_refused(tree, code):
    folder = tree("weakneg/losses.py", "import torch\n", f"import torch\n{code}\n")
    with pytest.raises(UserError, match=r"losses.py, line \d: an import by name hides"):
        of(folder)


def test_unknown_module_is_one_line(tree):
    with pytest.raises(UserError, match=r"^there is no module weakneg.strategies.bagde in weakneg"):
        of(tree(), "bagde")


def test_syntax_error_is_one_line_with_file_and_line(tree):
    with pytest.raises(UserError, match=r"losses.py, line 3: .*"):
        of(tree("weakneg/losses.py", "def loss(y)", "def loss(y"))


# ----------------------------------------------------------------------------- where and when
def test_neither_place_nor_time_nor_hash_seed_counts(tree):
    folder = tree()
    for path in folder.rglob("*.py"):
        os.utime(path, (1, 1))
    code = (
        "import sys, pathlib\nfrom weakneg.workspace.fingerprint import fingerprint\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "print(fingerprint('weakneg.training.loop', ['strategies.badge'],"
        " package=folder / 'weakneg', lock=folder / 'requirements.txt'))"
    )
    found = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(module.PACKAGE.parent)},
            cwd=folder.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout.strip())
    assert found == {of(tree())}


# ----------------------------------------------------------------------------- the package itself
def plugins(folder: str) -> list[str]:
    """The modules of a folder of plugins."""
    files = sorted((module.PACKAGE / folder).glob("*.py"))
    return [f"{folder}.{file.stem}" for file in files if file.stem != "__init__"]


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text(SOURCES["requirements.txt"])
    return path


def training(model: str, strategy: str, **where: Path) -> str:
    plugins = [model, strategy, "losses.bce", "batches.plain"]
    return fingerprint("weakneg.training.run:train_run", plugins, **where)


USING_TOP_K = [
    *("cluster_aware", "entropy", "false_negative_elimination", "gradient_embedding", "hardest"),
    *("kl_embedding", "kl_probability", "least_confidence", "mahalanobis", "margin"),
    *("positive_cutoff", "svm_margin"),
]
# Data set -> the plugins that it loads in turn.
LOADED_BY = {"datasets.recordings": ("formats.own",)}
MODELS = ["cnn", "efficientnet_b0", "efficientnet_b2", "mlp", "resnet18", "simple_cnn"]


def test_every_plugin_has_a_fingerprint_of_its_own(lock):
    random = "strategies.random"
    for found in (
        [
            fingerprint(f"weakneg.{name}", LOADED_BY.get(name, ()), lock=lock)
            for name in plugins("datasets")
        ],
        [training(f"models.{name}", random, lock=lock) for name in MODELS],
        [training("models.mlp", name, lock=lock) for name in plugins("strategies")],
    ):
        assert len(found) == len(set(found)) >= 3


@pytest.mark.parametrize(
    "entry", ["bags.manifest", "analysis.metrics", "features.store", "report.tables"]
)
def test_a_stage_does_not_reach_the_configuration(entry, lock):
    parts = explain(f"weakneg.{entry}", lock=lock)
    assert any(part.startswith(f"weakneg.{entry}:") for part in parts)
    assert not any(part.startswith("weakneg.config.") for part in parts)


def test_editing_a_strategy_changes_its_runs_alone(tmp_path, lock):
    package = tmp_path / "weakneg"
    shutil.copytree(module.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))

    def changed_by(file: str, old: str, new: str) -> list[str]:
        path = package / "strategies" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        for cached in (source_code.module_of, module._reach, module._fingerprint):
            cached.cache_clear()
        changed = [
            name.rpartition(".")[2]
            for name in plugins("strategies")
            if training("models.mlp", name, package=package, lock=lock)
            != training("models.mlp", name, lock=lock)
        ]
        path.write_text(text)
        return changed

    assert changed_by("badge.py", "_BLOCK = ", "_BLOCK = 1 + ") == ["badge"]
    assert changed_by("pool.py", "def top_k(", "def top_k(*, _=1, ") == USING_TOP_K
    assert changed_by("__init__.py", '"Select": Option(', '"Select": 1 and Option(') == []


def test_editing_a_strategy_changes_the_runs_that_hand_it_a_part_of_the_pool(tmp_path, lock):
    package = tmp_path / "weakneg"
    shutil.copytree(module.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))

    def runs(**where: Path) -> dict[str, str]:
        chosen = {"badge": ("badge", {}), "margin": ("margin", {})}
        for name in ("badge", "margin", "random"):
            chosen[f"trimmed_{name}"] = ("trimmed", {"then": {"strategy": name}})
        nested = {"strategy": "trimmed", "then": {"strategy": "badge"}}
        chosen["nested"] = ("trimmed", {"then": nested})
        found = {}
        for name, (strategy, options) in chosen.items():
            settings = RunSettings.model_validate(
                {
                    **{"model": {"name": "mlp"}, "sampling": {}, "training": {}},
                    **{"strategy": strategy, "options": options},
                    **{"seeds": [0], "draw_per_seed": False},
                }
            )
            found[name] = fingerprint(entry(settings.stage), settings.plugins, lock=lock, **where)
        return found

    path = package / "strategies/badge.py"
    path.write_text(path.read_text().replace("_BLOCK = ", "_BLOCK = 1 + "))
    before, after = runs(), runs(package=package)
    assert {name for name in before if before[name] != after[name]} == {
        *("badge", "trimmed_badge", "nested"),
    }
    assert len({before[name] for name in ("badge", "trimmed_badge", "trimmed_margin")}) == 3


def test_only_a_study_with_augmentation_depends_on_it(lock):
    """And with it on the spectrograms that it makes."""

    def parts(augmentation: dict | None) -> set[str]:
        settings = RunSettings.model_validate(
            {
                "model": {"name": "cnn"},
                "strategy": "random",
                "options": {},
                "sampling": {},
                "training": {},
                "augmentation": augmentation,
                "seeds": [0],
                "draw_per_seed": False,
            }
        )
        found = explain(entry(settings.stage), settings.plugins, lock=lock)
        return {part.partition(":")[0] for part in found}

    of_augmentation = {"weakneg.training.batches.augmented", "weakneg.audio.mel"}
    assert of_augmentation <= parts({"mixup_rate": 0.5})
    assert not of_augmentation & parts(None)


def test_a_grid_of_thousands_of_jobs_computes_each_fingerprint_once(lock):
    before = module._fingerprint.cache_info().misses
    for _ in range(240):
        for name in plugins("strategies"):
            training("models.mlp", name, lock=lock)
    assert module._fingerprint.cache_info().misses - before == len(plugins("strategies"))


STAGE = "weakneg.workspace.accept:accept"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A workflow has kept the fingerprint of STAGE; the next one begins, and computes none."""
    monkeypatch.chdir(tmp_path)
    module.KEPT.parent.mkdir()
    module._kept.cache_clear()
    found = fingerprint(STAGE)
    module.keep()
    module._kept.cache_clear()
    monkeypatch.setattr(module, "_fingerprint", lambda *_: "computed again")
    yield found
    module._kept.cache_clear()


def test_fingerprints_are_kept_for_the_next_workflow(kept):
    assert fingerprint(STAGE) == kept
    assert fingerprint(STAGE, ["strategies.mine.py"]) == "computed again"


def test_after_an_edit_fingerprints_are_computed_again(kept, monkeypatch):
    monkeypatch.setattr(module, "digest_of_sources", lambda: "of other sources")
    assert fingerprint(STAGE) == "computed again"


def test_an_edit_while_a_workflow_plans_keeps_nothing(kept, monkeypatch):
    before = module.KEPT.read_bytes()
    fingerprint(STAGE)
    monkeypatch.setattr(module, "digest_of_sources", lambda: "of other sources")
    module.keep()
    assert module.KEPT.read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"made_from": 1, "fingerprints": []}'])
def test_damaged_fingerprints_are_computed_again(kept, content):
    module.KEPT.write_text(content)
    assert fingerprint(STAGE) == "computed again"
