"""The fingerprint of a stage: it changes with the code that the stage can reach, and only then."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from weakneg import fingerprint as module
from weakneg.errors import UserError
from weakneg.fingerprint import explain, fingerprint

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
    plugins = [f"weakneg.strategies.{strategy}"] if strategy else []
    return fingerprint(entry, plugins, package=folder / "weakneg", lock=folder / "requirements.txt")


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
        ("weakneg/training/__init__.py", "STEPS\n", "STEPS, FLAG\n"),  # the package around it
        ("weakneg/training/steps.py", "10", "20"),  # what the package around it imports
        ("weakneg/__init__.py", '"""The', 'FLAG = 1\n"""The'),
    ],
)
def test_a_module_that_is_reached_counts(tree, file, old, new):
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
    assert len({of(tree(), name) for name in ("badge", "margin", "random", None)}) == 4


def test_a_new_file_changes_nothing(tree):
    changed = tree()
    (changed / "weakneg/strategies/new.py").write_text("def select(x):\n    return x\n")
    assert of(changed) == of(tree())


def test_else_of_type_checking_counts(tree):
    old = "    from weakneg.config import Settings\n"
    new = old + "else:\n    from weakneg.config import Settings\n"
    folder = tree(LOOP, old, new)
    assert of(folder) != of(tree())
    changed = tree(LOOP, old, new)
    (changed / "weakneg/config.py").write_text("class Settings:\n    strategy = 'margin'\n")
    assert of(changed) != of(folder)


def test_modules_that_import_each_other_are_no_endless_loop(tree):
    folder = tree("weakneg/losses.py", "import torch", "import torch\nimport weakneg.training.loop")
    assert of(folder) != of(tree())


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
        "weakneg.training.loop", package=folder / "weakneg", lock=folder / "requirements.txt"
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


def test_plugin_may_be_loaded_from_a_folder_that_the_source_names(tree):
    code = (
        "from importlib import import_module\n\ndef load(n): import_module(f'weakneg.models.{n}')\n"
    )
    assert of(tree("weakneg/losses.py", "import torch\n", f"import torch\n{code}"))


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
        "import sys, pathlib\nfrom weakneg.fingerprint import fingerprint\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "print(fingerprint('weakneg.training.loop', ['weakneg.strategies.badge'],"
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
    return [f"weakneg.{folder}.{file.stem}" for file in files if file.stem != "__init__"]


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text(SOURCES["requirements.txt"])
    return path


@pytest.mark.parametrize("folder", ["datasets", "models", "strategies"])
def test_every_plugin_has_a_fingerprint_of_its_own(folder, lock):
    found = [fingerprint(name, lock=lock) for name in plugins(folder)]
    assert len(found) == len(set(found)) >= 3


@pytest.mark.parametrize("entry", ["bags", "evaluation", "figures", "store", "tables"])
def test_a_stage_does_not_reach_the_configuration(entry, lock):
    parts = explain(f"weakneg.{entry}", lock=lock)
    assert f"weakneg.{entry}" in parts
    assert "weakneg.config" not in parts


def test_editing_badge_changes_badge_alone(tmp_path, lock):
    package = tmp_path / "weakneg"
    shutil.copytree(module.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    with open(package / "strategies" / "badge.py", "a") as file:
        file.write("\nEDITED = True\n")
    changed = [
        name
        for name in plugins("strategies") + plugins("models") + plugins("datasets")
        if fingerprint(name, package=package, lock=lock) != fingerprint(name, lock=lock)
    ]
    assert changed == ["weakneg.strategies.badge"]


def test_a_grid_of_thousands_of_jobs_computes_each_fingerprint_once(lock):
    before = module._fingerprint.cache_info().misses
    for _ in range(240):
        for name in plugins("strategies"):
            fingerprint("weakneg.evaluation", [name], lock=lock)
    assert module._fingerprint.cache_info().misses - before == len(plugins("strategies"))
