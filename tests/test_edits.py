"""What an edit makes run again: the stages that it can change, and no other.

Each edit is made in a finished workspace of the embedded studies, and the jobs that Snakemake would
then run are read off a dry run. `digits` has images of 2 classes and 8 runs of each, `soundscapes`
sound of 2 classes and 5 runs of each; two of its shards are for training and one is for testing.
"""

import os
from collections import Counter

import pytest

STUDIES = "workflow/studies"
LIBRARY = "workflow/weakneg"

NOTHING: Counter = Counter()
FIGURES = Counter(
    f"draw_{figure}"
    for figure in (
        *("win_count", "critical_difference", "differences", "mean_ap", "cost"),
        *("learning_curves", "selection"),
    )
)
OF_SOUND = Counter(["draw_class_size"])
REPORT = FIGURES + Counter(["write_tables", "audit_selections"])


def report(digits: bool = True, sound: bool = True) -> Counter:
    """What follows from new scores."""
    of_digits = REPORT + Counter(["collect_metrics"])
    return (of_digits if digits else NOTHING) + (of_digits + OF_SOUND if sound else NOTHING)


def trained(digits: int, sound: int) -> Counter:
    """So many runs of each study, and what follows from them."""
    runs = digits + sound
    return Counter(train_run=runs, score_run=runs) + report(digits > 0, sound > 0)


# What says which bags were chosen does not need the scores of the test bags.
SELECTIONS = Counter(["audit_selections", "draw_selection"])

SPECTROGRAMS = Counter(
    compute_shard=3, build_features=1, list_clips=2, list_classes=1, draw_sound=1
) + trained(0, 10)

EDITS = {
    # What only documents.
    "a comment": (
        f"{LIBRARY}/bags.py",
        "    positives = rng",
        "    # Why?\n    positives = rng",
        NOTHING,
    ),
    "a docstring": (f"{LIBRARY}/bags.py", "Draw bags of", "Fill bags of", NOTHING),
    "a type hint": (f"{LIBRARY}/bags.py", "bag_size: int,", "bag_size: object,", NOTHING),
    "formatting": (
        *(f"{LIBRARY}/strategies/pool.py", "    k = pool.clamp(k)\n    return Selection(pool.ids["),
        *("    k = (\n        pool.clamp(k)\n    )\n    return Selection(pool.ids[", NOTHING),
    ),
    "a function that nothing calls": (
        *(f"{LIBRARY}/strategies/pool.py", "def top_k(", "def unused():\n    pass\n\n\ndef top_k("),
        NOTHING,
    ),
    # Strategies.
    "a strategy": (f"{LIBRARY}/strategies/badge.py", "_BLOCK = 64", "_BLOCK = 32", trained(2, 2)),
    "a strategy of one study": (
        *(f"{LIBRARY}/strategies/kl_probability.py", "pool, -divergence", "pool, divergence"),
        trained(2, 0),
    ),
    "what some strategies share": (
        *(f"{LIBRARY}/strategies/pool.py", "descending=True, stable=True", "descending=True"),
        trained(2 * 5, 2 * 2),
    ),
    "what the configuration reads of strategies": (
        *(
            f"{LIBRARY}/strategies/__init__.py",
            "found[argument.arg] =",
            "found[f'{argument.arg}'] =",
        ),
        NOTHING,
    ),
    # Models and training.
    "a model": (
        *(f"{LIBRARY}/models/simple_cnn.py", "torch.maximum(a, b)", "torch.maximum(b, a)"),
        trained(16, 0),
    ),
    "the model of sound": (
        *(f"{LIBRARY}/models/cnn.py", "x.mean(3)", "x.amax(3)", trained(0, 10)),
    ),
    "a pooling": (
        *(f"{LIBRARY}/models/pooling.py", "-math.inf).amax(1)", "-math.inf).amin(1)"),
        trained(16, 10),
    ),
    "the training loop": (
        *(f"{LIBRARY}/training/loop.py", "label[train] == 1]", "label[train] > 0]"),
        trained(16, 10),
    ),
    "scoring": (
        *(f"{LIBRARY}/scoring.py", ".double().cpu()", ".cpu().double()"),
        Counter(score_run=26) + report() - SELECTIONS - SELECTIONS,
    ),
    # From data to bags.
    "how bags are drawn": (
        *(f"{LIBRARY}/bags.py", "label_density * bag_size + 0.5", "label_density * bag_size + 0.4"),
        Counter(draw_bags=2) + trained(16, 0),
    ),
    "how clips are listed": (
        *(
            f"{LIBRARY}/bags.py",
            "{start:.3f}",
            "{start:.2f}",
            Counter(list_clips=2) + trained(0, 10),
        ),
    ),
    "the spectrograms": (
        f"{LIBRARY}/audio/mel.py",
        "(1 + hertz / 700)",
        "(1 + hertz / 701)",
        SPECTROGRAMS,
    ),
    "the synthesis of sound": (
        *(f"{LIBRARY}/audio/synthesis.py", "(-20.0, -1.0)", "(-20.0, -2.0)"),
        SPECTROGRAMS
        + Counter(fetch_soundscapes=1, list_recordings=1, acquire_shard=3, count_acquired=1),
    ),
    # The report.
    "a statistic": (
        *(f"{LIBRARY}/comparison.py", "np.minimum(corrected, 1)", "np.minimum(1, corrected)"),
        Counter(write_tables=2, draw_win_count=2, draw_cost=2),
    ),
    "a metric": (
        *(f"{LIBRARY}/evaluation.py", "ap * len(label)", "len(label) * ap"),
        report() - SELECTIONS - SELECTIONS,
    ),
    "a figure's colour": (
        *(f"{LIBRARY}/figures/win_count.py", 'COINS = "#ECECEC"', 'COINS = "#EEEEEE"'),
        Counter(draw_win_count=2),
    ),
    "the style of all figures": (
        *(f"{LIBRARY}/figures/style.py", '"font.size": 8', '"font.size": 9'),
        FIGURES + FIGURES + Counter(draw_class_size=1, draw_sound=1),
    ),
    "a caption of the report": ("workflow/report/win_count.rst", "Number of", "Count of", NOTHING),
    # The workflow itself.
    "the command of a rule": (
        *("workflow/rules/report.smk", "python -m weakneg tables", "python  -m weakneg tables"),
        Counter(write_tables=2),
    ),
    "the place of a log": (
        *("workflow/rules/report.smk", "logs/write_tables.log", "logs/tables.log", NOTHING),
    ),
    # Studies and configuration.
    "epochs": (f"{STUDIES}/digits.yaml", "epochs: 25", "epochs: 26", trained(16, 0)),
    "the ratio": (
        *(f"{STUDIES}/soundscapes.yaml", "negatives_per_positive: 2.0"),
        *("negatives_per_positive: 3.0", trained(0, 10)),
    ),
    "a seed more": (f"{STUDIES}/digits.yaml", "seeds: 5", "seeds: 6", trained(16, 0)),
    "a class more": (
        *(f"{STUDIES}/digits.yaml", '["3", "8"]', '["3", "7", "8"]'),
        Counter(draw_bags=1) + trained(8, 0),
    ),
    "a class less": (*(f"{STUDIES}/digits.yaml", '["3", "8"]', '["3"]', report(sound=False)),),
    "a strategy less": (
        *(f"{STUDIES}/digits.yaml", "  - kl_embedding\n", "", report(sound=False)),
    ),
    "the order of strategies": (
        *(f"{STUDIES}/digits.yaml", "  - kl_embedding\n  - kl_probability\n"),
        *("  - kl_probability\n  - kl_embedding\n", report(sound=False)),
    ),
    "the note under figures": (
        *(f"{STUDIES}/digits.yaml", "note: Small", "note: Very small", REPORT),
    ),
    "the number of mel bins": (
        *(f"{STUDIES}/soundscapes.yaml", "mel_bins: 64", "mel_bins: 40", SPECTROGRAMS),
    ),
    "a comment of the configuration": (
        "config.yaml",
        "# What to build",
        "# What is built",
        NOTHING,
    ),
    "another study": (f"{STUDIES}/cifar10.yaml", "title: ", "title: The ", NOTHING),
    # Packages.
    "the version of a package that makes numbers": (
        *("envs/requirements.txt", "scikit-learn==", "scikit-learn==9."),
        # The digits are scikit-learn's.
        Counter(build_features=1, draw_bags=2)
        + trained(16, 0)
        + (report(digits=False) - SELECTIONS),
    ),
    "the version of another": ("envs/requirements.txt", "\npandas==", "\npandas==9.", NOTHING),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_reruns_what_it_can_change_and_nothing_else(edited, name):
    file, old, new, expected = EDITS[name]
    edited.edit(file, old, new)
    assert edited.planned() == expected


def test_touching_every_source_reruns_nothing(edited):
    for path in edited.folder.glob("workflow/**/*"):
        os.utime(path)
    assert edited.planned() == NOTHING


def test_a_smaller_grid_from_the_command_line_trains_nothing(finished):
    of_digits = "studies=digits"
    jobs = finished.planned("--config", of_digits, "classes=[3]", "strategies=[random,badge]")
    assert jobs == report(sound=False)
    # margin shares its run with entropy, whichever of them is named.
    jobs = finished.planned("--config", of_digits, "strategies=[random,entropy]")
    assert jobs == report(sound=False)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("results/digits/figures/cost.svg", Counter(draw_cost=1)),
        ("results/digits/tables/table1.md", Counter(write_tables=1)),
        ("results/digits/metrics.csv", report(sound=False) - SELECTIONS),
        # Nothing that is wanted needs it: it comes back with the next job that does.
        ("results/digits/runs/3/badge/scores.parquet", NOTHING),
    ],
)
def test_a_deleted_file_comes_back_with_what_depends_on_it(finished, file, expected):
    path = finished.folder / file
    away = path.with_name("away")
    path.rename(away)
    try:
        assert finished.planned() == expected
    finally:
        away.rename(path)


def test_a_strategy_of_ones_own_is_one_file(edited):
    own = edited.folder / LIBRARY / "strategies/mine.py"
    own.write_text((own.parent / "random.py").read_text())
    assert edited.planned() == NOTHING
    edited.edit(f"{STUDIES}/digits.yaml", "  - badge\n", "  - badge\n  - mine\n")
    assert edited.planned() == trained(2, 0)
