"""What an edit makes run again: the stages that it can change, and no other.

Each edit is made in a finished workspace of the embedded studies, and the jobs that Snakemake would
then run are read off a dry run. `digits` has images of 2 classes and 8 runs of each, `soundscapes`
sound of 2 classes and 5 runs of each; two of its shards are for training and one is for testing.

docs/edits.md is the table: python tests/workflow/test_edits.py > docs/edits.md
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from workspace import ROOT, Workspace

STUDIES = "workflow/studies"
LIBRARY = "workflow/weakneg"


def path_of(file: str) -> str:
    """A file of the library, a study, or one by its path from the root."""
    places = (f"{LIBRARY}/{file}", f"{STUDIES}/{file}", file)
    return next(place for place in places if (ROOT / place).is_file())


PLANNED = ("digits", "soundscapes")
NOTHING: Counter = Counter()
FIGURES = Counter(
    f"draw_{figure}"
    for figure in (
        *("win_count", "critical_difference", "differences", "mean_ap", "cost"),
        *("learning_curves", "selection", "reliability", "worst_class"),
    )
)
OF_SOUND = Counter(["draw_class_size"])
SUSPECTS = Counter(["list_suspects"])
# The page shows what all others make; sounds are those of the clips in two of the tables.
PAGE = Counter(["write_report"])
SOUNDS = Counter(["cut_sounds"])
CALIBRATION = Counter(["calibrate_scores"])
REPORT = FIGURES + Counter(["write_tables", "audit_selections"]) + PAGE


def report(digits: bool = True, sound: bool = True) -> Counter:
    """What follows from new scores."""
    of_digits = REPORT + CALIBRATION + Counter(["collect_metrics"])
    return (of_digits if digits else NOTHING) + (
        of_digits + OF_SOUND + SUSPECTS + SOUNDS if sound else NOTHING
    )


def trained(digits: int, sound: int) -> Counter:
    """So many runs of each study, and what follows from them."""
    runs = digits + sound
    return Counter(train_run=runs, score_run=runs) + report(digits > 0, sound > 0)


# What says which bags were chosen does not need the scores of the test bags.
SELECTIONS = Counter(["audit_selections", "draw_selection"])

SPECTROGRAMS = Counter(
    compute_shard=3, build_features=1, list_clips=2, list_classes=1, draw_sound=1
) + trained(0, 10)

# fmt: off
EDITS = [
    # edit, file, what is replaced by what, jobs
    # What only documents.
    ("a comment", "bags/draw.py",
     "    positives = rng", "    # Why?\n    positives = rng", NOTHING),
    ("a docstring", "bags/draw.py",
     "Draw bags of equal size, each", "Fill bags of equal size, each", NOTHING),
    ("a type hint", "bags/draw.py",
     "    bag_size: int,\n", "    bag_size: object,\n", NOTHING),
    ("formatting", "strategies/pool.py",
     "    order = highest(scores, pool.clamp(k))",
     "    order = highest(\n        scores, pool.clamp(k)\n    )", NOTHING),
    ("a function that nothing calls", "strategies/pool.py",
     "def top_k(", "def unused():\n    pass\n\n\ndef top_k(", NOTHING),
    ("the name of a private variable (which is code)", "training/adam.py",
     "for name, own in self.state_dict().items():", "for name, _own in self.state_dict().items():",
     trained(16, 10)),
    ("the code of a model that no study here has", "models/resnet18.py",
     "model.fc.in_features", "model.fc.in_features + 0", NOTHING),
    ("the augmentation, which no study here has", "training/batches/augmented.py",
     "* min(most, size)", "* min(size, most)", NOTHING),
    # Strategies.
    ("a strategy", "strategies/badge.py",
     "_BLOCK = 128", "_BLOCK = 64", trained(2, 2)),
    ("a strategy of one study", "strategies/kl_probability.py",
     "pool, -divergence", "pool, divergence", trained(2, 0)),
    ("what some strategies share", "strategies/pool.py",
     "nonzero()[:, 0]", "nonzero().flatten()", trained(2 * 5, 2 * 2)),
    ("what the configuration reads of strategies", "plugins.py",
     "found[argument.arg] = Option", "found[f'{argument.arg}'] = Option", NOTHING),
    # Models and training.
    ("a model", "models/simple_cnn.py",
     "torch.maximum(a, b)", "torch.maximum(b, a)", trained(16, 0)),
    ("the model of sound", "models/cnn.py",
     "x.mean(3)", "x.amax(3)", trained(0, 10)),
    ("a pooling", "models/pooling.py",
     "-math.inf).amax(1)", "-math.inf).amin(1)", trained(16, 10)),
    ("the training loop", "training/loop.py",
     "(label == 1).reshape", "(label > 0).reshape", trained(16, 10)),
    ("the loss", "losses/bce.py",
     "(batch.logits, batch", "(1 * batch.logits, batch", trained(16, 10)),
    ("the loss that a history records", "training/loop.py",
     "append(mean.detach())", "append(2 * mean.detach())", trained(16, 10)),
    ("the optimiser", "training/adam.py",
     "eps=1e-8", "eps=1e-7", trained(16, 10)),
    ("scoring", "training/scoring.py",
     "logits.cpu()", "logits.detach().cpu()",
     Counter(score_run=26) + report() - SELECTIONS - SELECTIONS),
    # From data to bags.
    ("how bags are drawn", "bags/draw.py",
     "label_density * bag_size + 0.5", "label_density * bag_size + 0.4",
     Counter(draw_bags=2) + trained(16, 0)),
    ("how clips are listed", "bags/manifest.py",
     "{start:.3f}", "{start:.2f}", Counter(list_clips=2) + trained(0, 10)),
    ("the spectrograms", "audio/mel.py",
     "(1 + hertz / 700)", "(1 + hertz / 701)", SPECTROGRAMS),
    ("the synthesis of sound", "datasets/synthesis.py",
     "(-20.0, -1.0)", "(-20.0, -2.0)",
     SPECTROGRAMS
     + Counter(fetch_soundscapes=1, list_recordings=1, acquire_shard=3, count_acquired=1)),
    # The report.
    ("a statistic", "analysis/comparison.py",
     "np.minimum(corrected, 1)", "np.minimum(1, corrected)",
     Counter(write_tables=2, draw_win_count=2, draw_cost=2) + PAGE + PAGE),
    ("a metric", "analysis/metrics.py",
     "ap * len(label)", "len(label) * ap",
     report() - SELECTIONS - SELECTIONS - SUSPECTS - SOUNDS - CALIBRATION - CALIBRATION
     - Counter(draw_reliability=2)),
    ("how suspects are ranked", "analysis/suspects.py",
     "argsort(-probability", "argsort(-1 * probability", SUSPECTS + SOUNDS + PAGE),
    ("a figure's colour", "report/figures/win_count.py",
     'COINS = "#ECECEC"', 'COINS = "#EEEEEE"', Counter(draw_win_count=2) + PAGE + PAGE),
    ("the style of all figures", "report/figures/style.py",
     '"font.size": 8', '"font.size": 9',
     FIGURES + FIGURES + Counter(draw_class_size=1, draw_sound=1) + PAGE + PAGE),
    ("a caption of the report", "workflow/report/win_count.rst",
     "Number of", "Count of", PAGE + PAGE),
    # The workflow itself.
    ("the command of a rule", "workflow/rules/report.smk",
     "python -m weakneg write_tables", "python  -m weakneg write_tables",
     Counter(write_tables=2) + PAGE + PAGE),
    ("the place of a log", "workflow/rules/report.smk",
     "logs/write_tables.log", "logs/tables.log", NOTHING),
    ("the threads of a rule", "workflow/rules/audio.smk",
     "threads: 1\n    params:\n        settings=settings_of(stages.ShardSettings)",
     "threads: 2\n    params:\n        settings=settings_of(stages.ShardSettings)", NOTHING),
    ("the resources of a rule", "workflow/rules/train.smk",
     "runtime=grows_from(20)", "runtime=grows_from(30)", NOTHING),
    ("what a function of the rules is called", "workflow/rules/common.smk",
     "def grows_from(amount)", "def grows_from(amount, by=1)", NOTHING),
    # Studies and configuration.
    ("epochs", "digits.yaml",
     "epochs: 4", "epochs: 5", trained(16, 0)),
    ("the ratio", "soundscapes.yaml",
     "negatives_per_positive: 2.0", "negatives_per_positive: 3.0", trained(0, 10)),
    ("augmentation", "soundscapes.yaml",
     "sampling:\n", "augmentation: {mixup_domain: spectrogram}\nsampling:\n", trained(0, 10)),
    ("the share of the pool that is scored", "digits.yaml",
     "seeds: 5", "seeds: 5\nsampling: {candidate_fraction: 0.5}", trained(16, 0)),
    ("a seed more", "digits.yaml",
     "seeds: 5", "seeds: 6", trained(16, 0)),
    ("a seed less", "digits.yaml",
     "seeds: 5", "seeds: 4", trained(16, 0)),
    ("a key of training", "soundscapes.yaml",
     "learning_rate: 2.0e-3", "learning_rate: 1.0e-3", trained(0, 10)),
    ("a key of a model", "soundscapes.yaml",
     "pooling: attention", "pooling: softmax_max", trained(0, 10)),
    ("a key of bags", "digits.yaml",
     "seeds: 5", "seeds: 5\nbags: {bag_size: 4}", Counter(draw_bags=2) + trained(16, 0)),
    ("a default that is written down", "digits.yaml",
     "seeds: 5", "seeds: 5\nbags: {bag_size: 5}", NOTHING),
    ("the baseline", "digits.yaml",
     "seeds: 5", "seeds: 5\nbaseline: margin", REPORT),
    ("the title", "digits.yaml",
     "title: Digits", "title: Numbers", REPORT),
    ("the description", "digits.yaml",
     "Small, quick", "Small, fast", PAGE),
    ("a class more", "digits.yaml",
     '["3", "8"]', '["3", "7", "8"]', Counter(draw_bags=1) + trained(8, 0)),
    ("a class less", "digits.yaml",
     '["3", "8"]', '["3"]', report(sound=False)),
    ("a strategy less", "digits.yaml",
     "  - kl_embedding\n", "", report(sound=False)),
    ("the order of strategies", "digits.yaml",
     "  - kl_embedding\n  - kl_probability\n", "  - kl_probability\n  - kl_embedding\n",
     report(sound=False)),
    ("the note under figures", "digits.yaml",
     "note: Small", "note: Very small", REPORT),
    ("the number of mel bins", "soundscapes.yaml",
     "mel_bins: 64", "mel_bins: 40", SPECTROGRAMS),
    ("a comment of the configuration", "config.yaml",
     "# What to build", "# What is built", NOTHING),
    ("the order of studies", "config.yaml",
     "[digits, digits_hidden_small,", "[digits_hidden_small, digits,", NOTHING),
    ("the device", "config.yaml",
     "device: auto", "device: cpu", NOTHING),
    ("another study", "cifar10.yaml",
     "title: ", "title: The ", NOTHING),
    # Packages.
    ("the version of a package that makes numbers", "envs/requirements.txt",
     "scikit-learn==", "scikit-learn==9.",
     Counter(build_features=1, draw_bags=2) + trained(16, 0)
     + (report(digits=False) - SELECTIONS - SUSPECTS - SOUNDS)),
    ("the version of another", "envs/requirements.txt",
     "\npandas==", "\npandas==9.", NOTHING),
]
# fmt: on


def deleted(file: str):
    """An edit that takes a file of the results away."""

    def edit(workspace: Workspace) -> None:
        away = workspace.folder / "away" / file
        away.parent.mkdir(parents=True)
        (workspace.folder / file).rename(away)

    return edit


def touched(workspace: Workspace) -> None:
    for path in workspace.folder.glob("workflow/**/*"):
        os.utime(path)


def changed_and_changed_back(workspace: Workspace) -> None:
    path = workspace.folder / LISTED
    content = path.read_bytes()
    path.write_bytes(b"")
    path.write_bytes(content)


def put(workspace: Workspace, file: str, text: str) -> None:
    (workspace.folder / LIBRARY / file).write_text(text)


def taken(workspace: Workspace, file: str, name: str) -> str:
    """The text of a definition and of the imports of its module; the definition is taken out."""
    path = workspace.folder / LIBRARY / file
    text = path.read_text()
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    [node] = [each for each in tree.body if getattr(each, "name", None) == name]
    first = min(each.lineno for each in (node, *node.decorator_list)) - 1
    imports = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
    taken = "".join(lines[first : node.end_lineno])
    path.write_text("".join(lines[:first] + lines[node.end_lineno :]))
    return "\n".join([*map(ast.unparse, imports), "", taken])


def imported_from(workspace: Workspace, old: str, new: str) -> None:
    """Each import of a module in the library, written for another name of it."""
    for path in (workspace.folder / LIBRARY).rglob("*.py"):
        text = path.read_text()
        changed = re.sub(
            rf"from weakneg\.{re.escape(old)} import", f"from weakneg.{new} import", text
        )
        if changed != text:
            path.write_text(changed)


def tidied(workspace: Workspace, *files: str) -> None:
    """Without the imports that are no longer used, as any linter wants it."""
    paths = [workspace.folder / LIBRARY / file for file in files]
    ruff = [sys.executable, "-m", "ruff", "check", "--quiet", "--isolated", "--fix"]
    subprocess.run([*ruff, "--select", "F401", *paths], check=True)


def definition_moved(workspace: Workspace) -> None:
    put(workspace, "analysis/correction.py", taken(workspace, "analysis/comparison.py", "holm"))
    file = f"{LIBRARY}/analysis/comparison.py"
    more = "import numpy as np\nfrom weakneg.analysis.correction import holm\n"
    workspace.edit(file, "import numpy as np\n", more)
    tidied(workspace, "analysis/correction.py", "analysis/comparison.py")


def module_renamed(workspace: Workspace) -> None:
    folder = workspace.folder / LIBRARY / "strategies"
    (folder / "pool.py").rename(folder / "candidates.py")
    imported_from(workspace, "strategies.pool", "strategies.candidates")


def module_split(workspace: Workspace) -> None:
    put(workspace, "bags/bag.py", "PADDING = -1\n" + taken(workspace, "bags/draw.py", "Bags"))
    file = f"{LIBRARY}/bags/draw.py"
    again = "from weakneg.bags.bag import PADDING, Bags  # noqa: F401\n"  # others import it here
    more = f"import numpy as np\n{again}"
    workspace.edit(file, "import numpy as np\n", more)
    workspace.edit(file, "PADDING = -1\n", "")
    tidied(workspace, "bags/bag.py", "bags/draw.py")


def import_spelled_another_way(workspace: Workspace) -> None:
    file = f"{LIBRARY}/training/loop.py"
    old, new = "from weakneg.training.adam import Adam\n", "from weakneg.training import adam\n"
    workspace.edit(file, old, new)
    workspace.edit(file, "= Adam(", "= adam.Adam(")


def own_strategy(workspace: Workspace) -> None:
    strategies = workspace.folder / LIBRARY / "strategies"
    shutil.copy(strategies / "random.py", strategies / "mine.py")


def own_strategy_named(workspace: Workspace) -> None:
    own_strategy(workspace)
    workspace.edit(f"{STUDIES}/digits.yaml", "  - badge\n", "  - badge\n  - mine\n")


LISTED = "resources/soundscapes/test_strong.tsv"
DEEDS = {
    "all sources touched": (touched, NOTHING),
    "a definition moved to another file": (definition_moved, NOTHING),
    "a module renamed": (module_renamed, NOTHING),
    "a module split": (module_split, NOTHING),
    "an import spelled another way": (import_spelled_another_way, NOTHING),
    "a figure deleted": (deleted("results/digits/figures/cost.svg"), Counter(draw_cost=1) + PAGE),
    "a table deleted": (deleted("results/digits/tables/table1.md"), Counter(write_tables=1) + PAGE),
    "the metrics deleted": (
        deleted("results/digits/metrics.csv"),
        report(sound=False) - SELECTIONS - CALIBRATION - Counter(draw_reliability=1),
    ),
    # Nothing that is wanted needs it: it comes back with the next job that does.
    "a file of scores deleted": (deleted("results/digits/runs/3/badge/scores.parquet"), NOTHING),
    "an input changed, and changed back": (changed_and_changed_back, NOTHING),
    "a strategy of one's own, in no study": (own_strategy, NOTHING),
    "a strategy of one's own, in a study": (own_strategy_named, trained(2, 0)),
}
OPTIONS = {
    "fewer classes and strategies, by `--config`": (
        ("studies=digits", "classes=[3]", "strategies=[random,badge]"),
        report(sound=False),
    ),
    # margin shares its run with entropy, whichever of them is named.
    "another name of a run, by `--config`": (
        ("studies=digits", "strategies=[random,entropy]"),
        report(sound=False),
    ),
}


@pytest.fixture
def workspace(finished):
    """The finished workspace, which is as before afterwards."""
    yield finished
    restore(finished)


def restore(workspace: Workspace) -> None:
    workspace.copy_sources()
    away = workspace.folder / "away"
    for path in away.glob("**/*"):
        if path.is_file():
            path.rename(workspace.folder / path.relative_to(away))
    shutil.rmtree(away, ignore_errors=True)


def replaced(file: str, old: str, new: str):
    """An edit that replaces a text of a file."""
    return lambda workspace: workspace.edit(path_of(file), old, new)


CASES = {name: (replaced(*edit), expected) for name, *edit, expected in EDITS} | DEEDS
RERUNNING = {name: case for name, case in CASES.items() if case[1]}
HARMLESS = {name: edit for name, (edit, expected) in CASES.items() if not expected}


@pytest.mark.parametrize("name", RERUNNING)
def test_an_edit_reruns_what_it_can_change_and_nothing_else(workspace, name):
    edit, expected = RERUNNING[name]
    edit(workspace)
    assert workspace.planned(*PLANNED) == expected


def test_what_changes_no_result_reruns_nothing(workspace):
    """All of it at once; only if that has jobs, each by itself, to name which has."""
    for edit in HARMLESS.values():
        edit(workspace)
    if workspace.planned(*PLANNED) == NOTHING:
        return
    jobs = {}
    for name, edit in HARMLESS.items():
        restore(workspace)
        edit(workspace)
        jobs[name] = workspace.planned(*PLANNED)
    assert jobs == dict.fromkeys(HARMLESS, NOTHING)
    raise AssertionError("together they have jobs, and each by itself has none")


@pytest.mark.parametrize("name", OPTIONS)
def test_a_smaller_grid_from_the_command_line_trains_nothing(finished, name):
    settings, expected = OPTIONS[name]
    assert finished.planned("--config", *settings) == expected


# ----------------------------------------------------------------------------- the documentation
def table() -> str:
    """docs/edits.md."""
    rows = [(name, f"`{path_of(file)}`", expected) for name, file, _, _, expected in EDITS]
    rows += [(name, "", expected) for name, (_, expected) in (DEEDS | OPTIONS).items()]
    lines = [
        "# What an edit makes run again",
        "",
        "Each line is a test (`tests/workflow/test_edits.py`, which writes this page): the edit is"
        " made in a finished workspace of",
        "the embedded studies, and a dry run of `digits`, which has 16 runs, and `soundscapes`,"
        " which has 10, must plan these",
        "jobs and no other.",
        "",
        "| edit | in | jobs |",
        "|---|---|---|",
        *(f"| {name} | {file} | {_jobs(expected)} |" for name, file, expected in rows),
    ]
    return "\n".join(lines) + "\n"


def _jobs(expected: Counter) -> str:
    figures = sum(n for rule, n in expected.items() if rule in FIGURES + OF_SOUND)
    words = [
        f"{rule}{f' {number}' if number > 1 else ''}"
        for rule, number in expected.items()
        if figures <= 3 or rule not in FIGURES + OF_SOUND
    ]
    return ", ".join(words + [f"{figures} figures"] * (figures > 3)) or "none"


def test_the_page_of_edits_is_this_table():
    page = (ROOT / "docs/edits.md").read_text(encoding="utf-8")
    assert page == table(), "run: python tests/workflow/test_edits.py > docs/edits.md"


if __name__ == "__main__":
    print(table(), end="")
