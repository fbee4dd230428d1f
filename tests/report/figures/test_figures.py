"""Figures: what they show, that they fit the page, and that equal inputs give equal bytes."""

import importlib
import itertools
import json
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from synthetic import metrics_of, study_of
from workspace import ROOT

from weakneg.analysis.comparison import compare, costs, paired_differences, size_trend
from weakneg.analysis.metrics import collect_metrics, read_metrics, select_study
from weakneg.errors import UserError
from weakneg.report import figures
from weakneg.report.figures import draw_figure, learning_curves, win_count
from weakneg.report.figures.critical_difference import groups_within
from weakneg.report.figures.learning_curves import read_curves
from weakneg.report.figures.style import house_style, styles

SAME_BAGS = {"least_confidence", "margin", "entropy"}
WORKFLOW = ROOT / "workflow"
FIGURES = {
    name: importlib.import_module(f"weakneg.report.figures.{name}").draw for name in figures.names()
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
        "kind": "images",
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
        "from weakneg.report.figures import draw_figure, names\n"
        "metrics, runs, study, output = json.loads(sys.argv[1])\n"
        "for name in names():\n"
        "    files = [f'{output}/{name}.{kind}' for kind in ('pdf', 'png', 'svg')]\n"
        "    draw_figure(name, metrics, study, files, runs)\n"
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
    draw_figure("win_count", metrics, study, [tmp_path / "figure.png"], runs)
    assert dict(matplotlib.rcParams) == before
    check = (
        "import sys, weakneg.report.figures\n"
        "weakneg.report.figures.names()\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import weakneg.report.figures.win_count, weakneg.report.tables\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(WORKFLOW)}
    subprocess.run([sys.executable, "-c", check], check=True, env=environment)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_leaves_the_page_and_the_note_is_on_it(toy, name):
    metrics_csv, runs, study = toy
    metrics = read_metrics(metrics_csv)
    note = "Of a toy, whose embeddings are not those of the paper. " * 3
    with house_style():
        figure = FIGURES[name](metrics, runs, {**study, "note": note})
        assert fits(figure)
    [text] = [text for text in figure.texts if "whose embeddings" in text.get_text()]
    assert text.get_text().split() == note.split()
    others = [axes.get_tightbbox() for axes in figure.axes]
    others += [legend.get_window_extent() for legend in figure.legends]
    others += [other.get_window_extent() for other in figure.texts if other is not text]
    top = text.get_window_extent().y1
    assert all(other.y0 > top - 1 for other in others), "the note has a place of its own"


@pytest.mark.parametrize(
    ("n_classes", "n_strategies", "n_seeds"),
    [(1, 1, 1), (1, 2, 1), (40, 2, 2), (2, 20, 1), (13, 7, 1)],
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


def many_classes(n_seeds=3):
    """Metrics and study of 14 classes that differ in size, of which two runs share their bags."""
    strategies = ["full", "random", "badge", "margin", "entropy"]
    classes = [f"c{i:02}" for i in range(14)]
    random = np.random.default_rng(0)
    values = {}
    for class_name in classes:
        base = random.uniform(0.1, 0.7)
        for strategy, gain in {"full": 0.05, "random": 0, "badge": 0.02, "margin": -0.05}.items():
            values[class_name, strategy] = base + gain + random.normal(0, 0.02, n_seeds)
        values[class_name, "entropy"] = values[class_name, "margin"]
    metrics = metrics_of(values)
    metrics["n_positive"] = metrics["class"].map({c: 50 + 7 * i for i, c in enumerate(classes)})
    metrics["test_bags"] = 10.0
    for column, low in {"bags_trained": 1000, "seconds_training": 10, "seconds_scoring": 1}.items():
        metrics[column] = low * random.uniform(1, 2, len(metrics)).round(2)
    shared = metrics["strategy"] == "entropy"
    columns = ["bags_trained", "seconds_training", "seconds_scoring"]
    metrics.loc[shared, columns] = metrics.loc[metrics["strategy"] == "margin", columns].to_numpy()
    runs = {s: "margin" if s == "entropy" else s for s in strategies}
    return metrics, study_of(classes, strategies, runs=runs, kind="clips")


def drawn(name, metrics, study):
    with house_style():
        figure = FIGURES[name](metrics, [], study)
        assert fits(figure)
    return figure


def lines(axes, colour):
    """What is plotted in a colour: lists of x and of y."""
    found = [line for line in axes.lines if same_color(line.get_color(), colour)]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in found]


class TestWinCount:
    def test_whiskers_and_band_are_the_numbers_of_the_table(self):
        metrics, study = many_classes()
        noise = np.random.default_rng(0).normal(0, 0.05, len(metrics))
        metrics["roc_auc"] = metrics["ap"] + np.where(metrics["strategy"] == "random", 0, noise)
        shared = metrics["strategy"] == "entropy"  # its run is margin's
        margin = metrics.loc[metrics["strategy"] == "margin", "roc_auc"]
        metrics.loc[shared, "roc_auc"] = margin.to_numpy()
        panels = drawn("win_count", metrics, study).axes
        labels = [label.get_text() for label in panels[0].get_yticklabels()]
        assert labels == ["BADGE", "Margin = Entropy", "Full set\n(upper bound)"]
        drawn_whiskers = []
        for axes, metric in zip(panels, ("ap", "roc_auc"), strict=True):
            table = compare(metrics, study, metric).set_index("strategy")
            whiskers = [x for x, _ in lines(axes, win_count.WHISKER["color"]) if len(set(x)) > 1]
            rows = ["badge", "margin", "full"]  # the upper bound comes last
            assert whiskers == table.loc[rows, ["wins_low", "wins_high"]].to_numpy().tolist()
            drawn_whiskers.append(whiskers)
            spans = {
                (patch.get_x(), patch.get_x() + patch.get_width())
                for patch in axes.patches
                if same_color(patch.get_facecolor(), win_count.COINS)
            }
            assert spans == {(3, 11), (-11, -3)}  # 14 coins
        assert drawn_whiskers[0] != drawn_whiskers[1]

    def test_one_seed_has_no_clear_differences(self):
        metrics, study = many_classes(n_seeds=1)
        figure = drawn("win_count", metrics, study)
        written = " ".join(texts(figure))
        assert "1 seed" in written
        assert "clearly" not in written
        assert "over classes and seeds" not in written


class TestManyClasses:
    def test_every_mark_of_mean_ap_stands_at_its_value_in_the_row_of_its_class(self):
        metrics, study = many_classes()
        axes = drawn("mean_ap", metrics, study).axes[0]
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == [*study["classes"][::-1], "mean over classes"], "largest class first"
        table = paired_differences(metrics, study, "ap").set_index(["strategy", "class"])
        means = metrics.groupby(["strategy", "class"])["ap"].mean()
        look = styles(study)
        for strategy in ("full", "badge", "margin"):
            marks = [
                line
                for line in axes.lines
                if line.get_marker() == look[strategy].marker and len(line.get_xdata()) == 1
            ]
            assert len(marks) == 15
            for mark, name in zip(marks, names[:-1], strict=False):
                assert mark.get_xdata()[0] == pytest.approx(means[strategy, name])
                assert round(mark.get_ydata()[0]) == names.index(name)
            sizes = {mark.get_markersize() for mark in marks}
            large = [mark.get_markersize() == max(sizes) for mark in marks[:-1]]
            assert large == [table.loc[(strategy, name), "clear"] for name in names[:-1]]
        written = texts(axes)
        assert {"50", "141"} <= set(written), "numbers of positives"

    def test_differences_are_filled_where_the_interval_excludes_zero(self):
        metrics, study = many_classes()
        figure = drawn("differences", metrics, study)
        table = paired_differences(metrics, study, "ap")
        titles = [axes.get_title("left") for axes in figure.axes if axes.get_visible()]
        assert titles == ["BADGE", "Margin = Entropy", "Full set\n(upper bound)"]
        for axes, strategy in zip(figure.axes, ("badge", "margin", "full"), strict=False):
            of_strategy = table[table["strategy"] == strategy]
            points = axes.collections[-1]
            np.testing.assert_allclose(points.get_offsets()[:, 0], of_strategy["difference"])
            filled = [not same_color(colour, "white") for colour in points.get_facecolors()]
            assert filled == of_strategy["clear"].tolist()


class TestCriticalDifference:
    @pytest.mark.parametrize(
        ("ranks", "critical", "groups"),
        [
            ([1.0, 2.0, 3.0], 0.5, []),
            ([1.0, 2.0, 3.0], 1.5, [(0, 1), (1, 2)]),
            ([1.0, 2.0, 3.0], 2.5, [(0, 2)]),
            ([1.0, 2.0, 3.0], 1.0, []),  # as far as the critical difference: told apart
            ([1.0, 1.0, 4.0, 4.5, 5.0], 1.0, [(0, 1), (2, 3), (3, 4)]),
        ],
    )
    def test_bars_join_what_is_closer_than_the_critical_difference(self, ranks, critical, groups):
        assert groups_within(np.array(ranks), critical) == groups

    def test_marks_stand_at_the_ranks(self):
        strategies = ["full", "random", "badge", "margin"]
        aps = {"full": 0.9, "random": 0.4, "badge": 0.6, "margin": 0.5}
        classes = [f"c{i}" for i in range(30)]
        metrics = metrics_of({(c, s): [aps[s]] for c in classes for s in strategies})
        figure = drawn("critical_difference", metrics, study_of(classes, strategies))
        look = styles({"strategies": strategies})
        for strategy, rank in {"badge": 1, "margin": 2, "random": 3}.items():
            assert ([rank], [0]) in lines(figure.axes[0], look[strategy].colour)
        assert not lines(figure.axes[0], look["full"].colour), "the upper bound has no rank"
        written = " ".join(texts(figure))
        # 2.343 sqrt(3 * 4 / (6 * 30)): too far apart for any bar.
        assert "critical difference 0.61" in written
        assert "p < .001" in written
        assert "1 seed, on 30 classes" in written


def test_class_size_shows_every_class_and_the_means_of_its_groups():
    metrics, study = many_classes()
    figure = drawn("class_size", metrics, study)
    table, trend = paired_differences(metrics, study, "ap"), size_trend(metrics, study, "ap")
    for axes, strategy in zip(figure.axes, ("badge", "margin", "full"), strict=False):
        of_strategy = table[table["strategy"] == strategy]
        points = (of_strategy["n_positive"].tolist(), of_strategy["difference"].tolist())
        assert points in lines(axes, styles(study)[strategy].colour)
        boxes = [box.get_bbox().extents for box in axes.patches]
        expected = trend.loc[trend["strategy"] == strategy, ["smallest", "low", "largest", "high"]]
        np.testing.assert_allclose(boxes, expected)
    assert figure.axes[0].get_xscale() == "log"


def test_classes_of_one_size_say_nothing_about_size():
    metrics, study = many_classes()
    figure = drawn("class_size", metrics.assign(n_positive=12), study)
    assert any("All have 12 positive training bags" in text for text in texts(figure))


@pytest.mark.parametrize("name", ["mean_ap", "learning_curves"])
def test_an_axis_of_average_precision_ends_at_1_however_wide_intervals_are(toy, name):
    """Two seeds that disagree have an interval over several units."""
    metrics_csv, runs, study = toy
    metrics = select_study(read_metrics(metrics_csv), study)
    metrics = metrics[metrics["seed"] < 2]
    metrics["ap"] = metrics["seed"].map({0: 0.2, 1: 0.9})
    with house_style():
        figure = FIGURES[name](metrics, runs, study)
    for axes in figure.axes:
        low, high = axes.get_xlim() if name == "mean_ap" else axes.get_ylim()
        assert -0.1 < low < high < 1.1


class TestCost:
    def test_bars_add_up_to_the_costs(self):
        metrics, study = many_classes()
        figure = drawn("cost", metrics, study)
        gain, bags, clock = figure.axes
        table = costs(metrics, study).set_index("strategy")
        rows = ["random", "badge", "margin", "full"]
        np.testing.assert_allclose(
            [bar.get_width() for bar in bags.patches], table.loc[rows, "bags_trained"]
        )
        ends = [bar.get_x() + bar.get_width() for bar in clock.patches]
        parts = table.filter(regex="seconds_").loc[rows].cumsum(axis=1)
        np.testing.assert_allclose(ends[:-4], parts.to_numpy().T.ravel())
        points = [x for x, _ in lines(gain, styles(study)["badge"].colour)]
        assert points == [[table.loc["badge", "difference"]]]
        labels = [label.get_text() for label in gain.get_yticklabels()]
        assert labels == ["Random", "BADGE", "Margin = Entropy", "Full set\n(upper bound)"]

    @pytest.mark.parametrize("name", ["cost", "learning_curves"])
    def test_seconds_of_several_machines_are_said_to_be(self, toy, name):
        metrics_csv, runs, study = toy
        metrics = read_metrics(metrics_csv)
        with house_style():
            one = " ".join(texts(FIGURES[name](metrics, runs, study)))
            metrics.loc[3, "device"] = "cuda: B"
            two = " ".join(texts(FIGURES[name](metrics, runs, study)))
        assert "seconds: on cpu" in one
        assert "on different machines, so not to be compared (cpu, cuda: B)" in " ".join(
            two.split()
        )


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
            draw_figure("learning_curves", metrics, study, [tmp_path / "a.png"], runs[:-1])
        assert not (tmp_path / "a.png").exists()


def test_unknown_figures_and_formats_are_refused(toy, tmp_path):
    metrics, runs, study = toy
    with pytest.raises(
        UserError, match=r"no figure is called 'pie': choose one of .*learning_curves"
    ):
        draw_figure("pie", metrics, study, [tmp_path / "a.png"], runs)
    with pytest.raises(UserError, match=r"a\.gif: a figure is written as one of \.pdf"):
        draw_figure("win_count", metrics, study, [tmp_path / "a.gif"], runs)


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


@pytest.mark.parametrize("name", ["win_count", "differences", "class_size"])
def test_without_a_baseline_the_figure_says_why_it_is_empty(toy, name):
    metrics_csv, runs, study = toy
    study = {**study, "strategies": ["badge", "margin"]}
    with house_style():
        figure = FIGURES[name](select_study(read_metrics(metrics_csv), study), runs, study)
    assert any("needs the baseline Random" in text for text in texts(figure))
