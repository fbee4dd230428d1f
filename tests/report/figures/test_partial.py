"""The figure of partly unknown labels."""

import pytest
from drawn import fits, texts
from partly_labelled import study, tables, toy

from weakneg.report.figures import partial
from weakneg.report.figures.style import house_style, styles_of_methods

SEEN = ("1 positive", "10%", "all")
METHODS = [f"A method of my own, {number}" for number in range(12)]
MANY = {m: (m, "1 positive") for m in METHODS} | {"full_label": ("Full label", "all")}
CROSSED = {f"{m}_{seen}": (m, seen) for m in METHODS[:3] for seen in SEEN}


@pytest.fixture
def draw():
    def drawn(**more):
        metrics, records, settings = toy(**more)
        results, epochs = tables(metrics, records, settings)
        of = study(settings)
        figure = partial.draw(results, epochs, of)
        with house_style():
            assert fits(figure)
        return figure

    return drawn


@pytest.mark.parametrize(
    ("ways", "n_classes", "n_seeds", "n_epochs", "more"),
    [
        (MANY, 12, 2, 3, {"upper_bound": "full_label", "note": "A note. " * 30}),
        (CROSSED, 10, 2, 2, {}),
        ({"bce": ("Naive AN", "1 positive")}, 3, 1, 1, {}),
        ({f"bce_{seen}": ("Naive AN", seen) for seen in SEEN}, 3, 2, 2, {}),
        ({"bce": ("BCE", "all"), "mine": ("Mine", "all")}, 3, 2, 2, {}),
    ],
)
def test_every_study_of_methods_can_be_drawn(draw, ways, n_classes, n_seeds, n_epochs, more):
    figure = draw(ways=ways, n_classes=n_classes, n_seeds=n_seeds, n_epochs=n_epochs, **more)
    shown = " ".join(" ".join(texts(figure)).split())
    methods = {method for method, _ in ways.values()}
    assert all(method in shown for method in methods)
    assert ("1 seed, so no interval" in shown) == (n_seeds == 1)


def test_thirteen_methods_have_colours_of_their_own():
    _, _, settings = toy(ways=MANY)
    assert len({style.colour for style in styles_of_methods(study(settings)).values()}) == 13


def test_a_method_looks_the_same_whatever_labels_it_sees():
    _, _, settings = toy(ways=CROSSED)
    assert [*styles_of_methods(study(settings))] == METHODS[:3]


def test_efficiency_is_drawn_against_the_labels_observed_fewest_first(draw):
    figure = draw(ways=CROSSED, n_classes=3)
    [axes] = [axes for axes in figure.axes if axes.get_xlabel().startswith("labels observed")]
    names = [tick.get_text().split("\n")[0] for tick in axes.get_xticklabels()]
    assert names == [*SEEN]
    assert [len(line.get_xdata()) for line in axes.lines] == [3, 3, 3]


def test_memory_has_a_panel_for_each_method_that_hides_labels_and_the_baseline_in_each(draw):
    figure = draw(upper_bound="full_label")
    panels = [axes for axes in figure.axes if axes.get_title(loc="left") in ("Naive AN", "LL-R")]
    assert [len(axes.lines) for axes in panels] == [2, 3]
    [precision] = [axes for axes in figure.axes if "precision" in axes.get_title(loc="left")]
    assert len(precision.lines) == 2, "of LL-R, and at random"
