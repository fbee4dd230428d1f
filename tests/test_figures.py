"""Figures: what they show, that they fit the page, and that equal inputs give equal bytes."""

import importlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from weakneg import figures
from weakneg.errors import UserError
from weakneg.evaluation import collect_metrics, read_metrics, select_study
from weakneg.figures import draw, learning_curves, win_count
from weakneg.figures.learning_curves import read_curves
from weakneg.figures.style import house_style, styles

SAME_BAGS = {"least_confidence", "margin", "entropy"}
WORKFLOW = Path(__file__).parents[1] / "workflow"
FIGURES = {
    name: importlib.import_module(f"weakneg.figures.{name}").draw for name in figures.names()
}


def make_study(root, classes, strategies, n_seeds, n_epochs=4):
    """Synthetic runs of a study; those of `SAME_BAGS` differ in their clocks alone."""
    runs = []
    for i, class_name in enumerate(classes):
        for strategy in strategies:
            trained_as = "margin" if strategy in SAME_BAGS else strategy
            folder = root / f"{i}" / f"{len(runs)}"
            folder.mkdir(parents=True)
            runs.append((strategy, folder))
            scores, history, timing = [], [], []
            for seed in range(n_seeds):
                random = np.random.default_rng([i, seed, *trained_as.encode()])
                label = np.arange(30) % 3 == 0
                score = random.normal(size=30) + label
                scores.append({"seed": seed, "bag": np.arange(30), "label": label, "score": score})
                epoch = np.arange(1, n_epochs + 1)
                ap = np.sort(random.random(n_epochs))
                history.append(
                    {
                        "seed": seed,
                        "epoch": epoch,
                        "validation_ap": ap,
                        "bags_trained": 90 * epoch,
                        "best": epoch == n_epochs,
                    }
                )
                clock = {f"seconds_{part}": 0.5 for part in ("scoring", "selecting", "evaluating")}
                clock["seconds_training"] = 1.0 + len(strategy)
                timing.append({"seed": seed, "epoch": epoch, **clock})
            for name, parts in {"scores": scores, "history": history, "timing": timing}.items():
                table = pd.concat(map(pd.DataFrame, parts))
                if name == "scores":
                    table["label"] = table["label"].astype("int8")
                table.to_parquet(folder / f"{name}.parquet")
            run = {"class": class_name, "strategy": strategy, "fingerprint": "f"}
            for key in ("n_positive", "n_pool", "budget"):
                run[key] = {str(seed): 30 for seed in range(n_seeds)}
            run["thresholds"] = {str(seed): {"f1": 0.5, "g_mean": 0.5} for seed in range(n_seeds)}
            run["made_with"] = {str(seed): {"device": "cpu"} for seed in range(n_seeds)}
            (folder / "run.json").write_text(json.dumps(run))
    metrics = root / "metrics.csv"
    collect_metrics(runs, metrics)
    study = {
        "name": "toy",
        "title": "Toy",
        "classes": list(classes),
        "strategies": list(strategies),
        "runs": {s: "margin" if s in SAME_BAGS else s for s in strategies},
        "unit": "image",
        "baseline": "random",
        "reference": None,
        "note": "",
    }
    return metrics, runs, study


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    strategies = ["full", "random", "badge", "margin", "entropy", "my_own"]
    return make_study(tmp_path_factory.mktemp("toy"), ["$5 $10", "a|b_c"], strategies, n_seeds=2)


def texts(figure):
    """All that is written in a figure."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def fits(figure):
    """Whether all that is drawn lies on the page (to a hundredth of an inch)."""
    figure.draw_without_rendering()  # the layout is settled by drawing
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    return (drawn.min >= page.min - 0.01).all() and (drawn.max <= page.max + 0.01).all()


def test_bytes_are_the_same_in_another_process(toy, tmp_path):
    metrics, runs, study = toy
    script = tmp_path / "draw.py"
    script.write_text(
        "import json, sys\n"
        "from weakneg.figures import draw, names\n"
        "metrics, runs, study, output = json.loads(sys.argv[1])\n"
        "for name in names():\n"
        "    files = [f'{output}/{name}.{kind}' for kind in ('pdf', 'png', 'svg')]\n"
        "    draw(name, metrics, runs, study, files)\n"
    )
    for output, hash_seed in ((tmp_path / "one", "1"), (tmp_path / "two", "2")):
        arguments = json.dumps(
            [str(metrics), [(name, str(folder)) for name, folder in runs], study, str(output)]
        )
        subprocess.run(
            [sys.executable, script, arguments],
            check=True,
            env={
                **os.environ,
                "PYTHONPATH": str(WORKFLOW),
                "PYTHONHASHSEED": hash_seed,
                # Another day: a date in a file would show.
                "SOURCE_DATE_EPOCH": str(10**8 * int(hash_seed)),
            },
        )
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 3 * len(FIGURES)
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), (
            name
        )


def test_importing_and_drawing_leave_matplotlib_alone(toy, tmp_path):
    metrics, runs, study = toy
    before = dict(matplotlib.rcParams)
    draw("win_count", metrics, runs, study, [tmp_path / "figure.png"])
    assert dict(matplotlib.rcParams) == before
    check = (
        "import sys, weakneg.figures\n"
        "weakneg.figures.names()\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import weakneg.figures.win_count, weakneg.tables\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(WORKFLOW)}
    subprocess.run([sys.executable, "-c", check], check=True, env=environment)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_leaves_the_page(toy, name):
    metrics_csv, runs, study = toy
    metrics = read_metrics(metrics_csv)
    with house_style():
        assert fits(FIGURES[name](metrics, runs, study))


@pytest.mark.parametrize(
    ("n_classes", "n_strategies", "n_seeds"), [(1, 1, 1), (1, 2, 1), (40, 2, 2), (2, 20, 1)]
)
def test_every_size_of_study_can_be_drawn(tmp_path, n_classes, n_strategies, n_seeds):
    strategies = ["random", *(f"strategy_of_my_own_{i}" for i in range(1, n_strategies))]
    classes = [f"A rather long class name, number {i}" for i in range(n_classes)]
    metrics_csv, runs, study = make_study(tmp_path, classes, strategies, n_seeds, n_epochs=1)
    study["reference"] = {
        "source": "P",
        "values": {"random": {name: {"ap": 0.5, "roc_auc": 0.5} for name in classes[:6]}},
    }
    metrics = read_metrics(metrics_csv)
    with house_style():
        for name, figure in FIGURES.items():
            drawn = figure(metrics, runs, study)
            assert fits(drawn), name
            if n_seeds == 1 and n_strategies > 1:
                assert any("1 seed" in text for text in texts(drawn)), name


def test_win_count_prints_the_counts_and_the_p_value(toy):
    metrics_csv, _, study = toy
    study = {**study, "strategies": ["random", "badge"], "classes": [f"c{i}" for i in range(40)]}
    row = read_metrics(metrics_csv).iloc[:1]
    parts = []
    for i, class_name in enumerate(study["classes"]):
        for seed in (0, 1):
            parts.append(
                row.assign(**{"class": class_name, "strategy": "random"}, seed=seed, ap=0.5)
            )
            ap = 0.6 + 0.01 * seed if i < 28 else 0.4
            parts.append(row.assign(**{"class": class_name, "strategy": "badge"}, seed=seed, ap=ap))
    with house_style():
        written = texts(win_count.draw(pd.concat(parts), [], study))
    # 28 classes better, clearly so in both directions; the two-sided sign test of 28 in 40.
    assert written.count("28") == 2
    assert written.count("12") == 2
    assert ".017" in written


def test_the_upper_bound_is_apart_and_last_whatever_the_order(toy):
    metrics_csv, runs, study = toy
    for strategies in (study["strategies"], study["strategies"][::-1]):
        reordered = {**study, "strategies": strategies}
        metrics = select_study(read_metrics(metrics_csv), reordered)
        with house_style():
            axes = win_count.draw(metrics, runs, reordered).axes[0]
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels[-1] == "Full set\n(upper bound)"
        gaps = np.diff(axes.get_yticks())
        assert gaps[-1] > gaps[0]
        # Margin and entropy share a run, and so a row.
        expected = ["BADGE", "Margin = Entropy", "my_own"]
        if strategies != study["strategies"]:
            expected = ["my_own", "Entropy = Margin", "BADGE"]
        assert labels[:-1] == expected


def test_styles_tell_strategies_apart_and_do_not_depend_on_order(toy):
    names = [*styles(toy[2]), "svm_margin", "kl_embedding", *(f"own_{i}" for i in range(20))]
    found = styles({"strategies": names})
    assert len(set(found.values())) == len(names)
    known = [name for name in names if not name.startswith(("own", "my"))]
    backwards = styles({"strategies": names[::-1]})
    assert all(found[name] == backwards[name] for name in known)


class TestLearningCurves:
    def test_a_stopped_run_keeps_its_best_value_and_cost(self, tmp_path):
        metrics_csv, runs, study = make_study(tmp_path, ["a", "b"], ["random"], 1, n_epochs=3)
        for (_, folder), aps in zip(runs, ([0.2, 0.6, 0.4], [0.5]), strict=True):
            for name in ("history", "timing"):
                path = folder / f"{name}.parquet"
                table = pd.read_parquet(path).head(len(aps))
                if name == "history":
                    table["validation_ap"] = aps
                table.to_parquet(path)
        curve = read_curves(runs, read_metrics(metrics_csv), study)["random"]
        # Class a: .2 .6 .6 (best so far); class b: .5 and then as it stopped.
        np.testing.assert_allclose(curve.ap, [[0.35, 0.55, 0.55]])
        np.testing.assert_allclose(curve.bags, [[90, 135, 180]])
        seconds = 2.5 + len("random")
        np.testing.assert_allclose(curve.seconds, [np.array([1, 1.5, 2]) * seconds])
        assert curve.stopped_early

    def test_strategies_that_share_a_run_share_one_curve(self, toy):
        metrics_csv, runs, study = toy
        metrics = read_metrics(metrics_csv)
        assert list(read_curves(runs, metrics, study)) == [
            s for s in study["strategies"] if s != "entropy"
        ]
        with house_style():
            figure = learning_curves.draw(metrics, runs, study)
        assert "Margin = Entropy" in texts(figure)

    def test_labels_do_not_write_over_each_other(self, tmp_path):
        strategies = ["random", "margin", "entropy", *(f"s{i}" for i in range(17))]
        metrics_csv, runs, study = make_study(tmp_path, ["a"], strategies, 1)
        for _, folder in runs:  # all end at the same AP
            path = folder / "history.parquet"
            table = pd.read_parquet(path)
            table.loc[table["epoch"] == 4, "validation_ap"] = 1.0
            table.to_parquet(path)
        with house_style():
            figure = learning_curves.draw(read_metrics(metrics_csv), runs, study)
            figure.draw_without_rendering()
            labels = [text for text in figure.axes[-1].texts if text.get_text()]
            boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.y0)
        assert len(labels) == 19, "margin and entropy share one"
        for below, above in itertools.pairwise(boxes):
            assert above.y0 > below.y1 - 1

    def test_a_run_without_its_folder_is_named(self, toy, tmp_path):
        metrics, runs, study = toy
        with pytest.raises(
            UserError, match=r"Study toy.*class 'a\|b_c', strategy 'my_own', seed 0"
        ):
            draw("learning_curves", metrics, runs[:-1], study, [tmp_path / "a.png"])
        assert not (tmp_path / "a.png").exists()


def test_unknown_figures_and_formats_are_refused(toy, tmp_path):
    metrics, runs, study = toy
    with pytest.raises(UserError, match=r"no figure 'pie'; choose one of .*learning_curves"):
        draw("pie", metrics, runs, study, [tmp_path / "a.png"])
    with pytest.raises(UserError, match=r"a\.gif: a figure is written as one of \.pdf"):
        draw("win_count", metrics, runs, study, [tmp_path / "a.gif"])


def test_published_values_stand_beside_ours(toy):
    metrics_csv, runs, study = toy
    reference = {"source": "P 2024", "values": {"badge": {"a|b_c": {"ap": 0.123}}}}
    with house_style():
        figure = FIGURES["mean_ap"](
            read_metrics(metrics_csv), runs, {**study, "reference": reference}
        )
    assert "P 2024" in [text.get_text() for text in figure.legends[0].get_texts()]
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert list(panels) == ["Mean over 2 classes", "a|b_c"]
    hollow = [line for line in panels["a|b_c"].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata()[0] for line in hollow] == [0.123]


@pytest.mark.parametrize("name", ["win_count", "differences"])
def test_without_a_baseline_the_figure_says_why_it_is_empty(toy, name):
    metrics_csv, runs, study = toy
    study = {**study, "strategies": ["badge", "margin"]}
    with house_style():
        figure = FIGURES[name](select_study(read_metrics(metrics_csv), study), runs, study)
    assert any("needs the baseline Random" in text for text in texts(figure))
