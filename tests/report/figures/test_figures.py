"""All figures: that they fit the page, and that equal inputs give equal bytes."""

import inspect
import json
import os
import subprocess
import sys

import matplotlib
import pytest
from drawn import FIGURES, figure_of, fits, make_study, texts
from workspace import ROOT

from weakneg.analysis.metrics import read_metrics, select_study
from weakneg.analysis.study import Study
from weakneg.errors import UserError
from weakneg.report import figures
from weakneg.report.figures import draw_figure
from weakneg.report.figures.style import house_style


def test_bytes_are_the_same_in_another_process(toy, tmp_path):
    metrics, runs, settings = toy
    script = tmp_path / "draw.py"
    script.write_text(
        "import json, sys\n"
        "from pathlib import Path\n"
        "from weakneg.report.figures import draw_figure\n"
        "names, metrics, runs, settings, output = json.loads(sys.argv[1])\n"
        "for name in names:\n"
        "    files = [Path(output, f'{name}.{kind}') for kind in ('pdf', 'png', 'svg')]\n"
        "    draw_figure(name, settings, files, metrics=metrics, runs=runs)\n"
    )
    for output, hash_seed in ((tmp_path / "one", "1"), (tmp_path / "two", "2")):
        arguments = json.dumps(
            [
                FIGURES,
                str(metrics),
                [(name, str(folder)) for name, folder in runs],
                settings,
                str(output),
            ]
        )
        subprocess.run(
            [sys.executable, script, arguments],
            check=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "workflow"),
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
    metrics, _, settings = toy
    before = dict(matplotlib.rcParams)
    draw_figure("win_count", settings, [tmp_path / "figure.png"], metrics=metrics)
    assert dict(matplotlib.rcParams) == before
    check = (
        "import sys, weakneg.report.figures\n"
        "assert weakneg.report.figures.names()\n"
        "assert weakneg.report.figures.for_kind('images')\n"
        "assert weakneg.report.figures.inputs('win_count') == ('metrics',)\n"
        "assert weakneg.report.figures.has_table('sound')\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import weakneg.report.figures.win_count, weakneg.report.tables\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    subprocess.run([sys.executable, "-c", check], check=True, env=environment)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_leaves_the_page_and_the_note_is_on_it(toy, name):
    metrics_csv, runs, settings = toy
    note = "Of a toy, whose embeddings are not those of the paper. " * 3
    study = Study.of({**settings, "note": note})
    figure = figure_of(name, read_metrics(metrics_csv), study, runs)
    with house_style():
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
    [(1, 1, 1), (1, 2, 1), (40, 2, 2), (2, 20, 1), (13, 7, 1), (13, 1, 2)],
)
def test_every_size_of_study_can_be_drawn(tmp_path, n_classes, n_strategies, n_seeds):
    strategies = ["random", *(f"strategy_of_my_own_{i}" for i in range(1, n_strategies))]
    classes = [f"A rather long class name, number {i}" for i in range(n_classes)]
    metrics_csv, runs, settings = make_study(tmp_path, classes, strategies, n_seeds, n_epochs=1)
    settings["reference"] = {
        "source": "P",
        "values": {"random": {name: {"ap": 0.5, "roc_auc": 0.5} for name in classes[:6]}},
    }
    metrics, study = read_metrics(metrics_csv), Study.of(settings)
    for name in FIGURES:
        figure = figure_of(name, metrics, study, runs)
        with house_style():
            assert fits(figure), name
        if n_seeds == 1 and n_strategies > 1:
            assert any("1 seed" in text for text in texts(figure)), name


@pytest.mark.parametrize("name", ["mean_ap", "learning_curves"])
def test_an_axis_of_average_precision_ends_at_1_however_wide_intervals_are(toy, name):
    """Two seeds that disagree have an interval over several units."""
    metrics_csv, runs, settings = toy
    study = Study.of(settings)
    metrics = select_study(read_metrics(metrics_csv), study)
    metrics = metrics[metrics["seed"] < 2]
    metrics["ap"] = metrics["seed"].map({0: 0.2, 1: 0.9})
    figure = figure_of(name, metrics, study, runs)
    for axes in figure.axes:
        low, high = axes.get_xlim() if name == "mean_ap" else axes.get_ylim()
        assert -0.1 < low < high < 1.1


def test_unknown_figures_and_formats_are_refused(toy, tmp_path):
    metrics, _, settings = toy
    with pytest.raises(UserError, match=r"no figure is called 'pie': choose one of .*learning_cur"):
        draw_figure("pie", settings, [tmp_path / "a.png"], metrics=metrics)
    with pytest.raises(UserError, match=r"a\.gif: the format of a figure is one of \.pdf"):
        draw_figure("win_count", settings, [tmp_path / "a.gif"], metrics=metrics)


@pytest.mark.parametrize("name", ["win_count", "differences", "class_size", "worst_class"])
def test_without_a_baseline_the_figure_says_why_it_is_empty(toy, name):
    metrics_csv, _, settings = toy
    study = Study.of({**settings, "strategies": ["badge", "margin"]})
    figure = figure_of(name, select_study(read_metrics(metrics_csv), study), study)
    assert any("needs the baseline Random" in text for text in texts(figure))


def test_a_figure_says_which_file_it_needs_and_whether_it_has_a_table(toy, tmp_path):
    metrics, _, settings = toy
    with pytest.raises(UserError, match=r"^this figure needs the option --metrics: add it\.$"):
        draw_figure("win_count", settings, [tmp_path / "a.png"])
    with pytest.raises(UserError, match=r"^this figure needs the option --recordings: add it\."):
        draw_figure("sound", settings, [tmp_path / "a.png"])
    table = tmp_path / "table.csv"
    with pytest.raises(
        UserError, match=r"table\.csv: the figure cost has no table: leave out --ta"
    ):
        draw_figure("cost", settings, [tmp_path / "a.png"], metrics=metrics, table=table)
    assert not list(tmp_path.iterdir())


def test_figures_say_what_they_are_for():
    options = {*inspect.signature(draw_figure).parameters} - {"name", "settings", "outputs"}
    for name in figures.names():
        assert figures.inputs(name)
        assert {*figures.inputs(name)} <= options - {"table"}
    for_all = ["cost", "critical_difference", "differences", "learning_curves", "mean_ap"]
    for_all += ["reliability", "selection", "win_count", "worst_class"]
    of_clips = {"class_size", "truth", *for_all}
    assert figures.for_kind("images") == for_all
    assert figures.for_kind("clips") == sorted(of_clips)
    assert {*figures.for_kind("spectrograms")} == {"sound", *of_clips}
    assert [name for name in figures.names() if figures.has_table(name)] == ["sound"]


def test_every_figure_has_a_caption():
    captions = {path.stem for path in (ROOT / "workflow" / "report").glob("*.rst")}
    assert captions == {"workflow", "page", "run", *figures.names()}
