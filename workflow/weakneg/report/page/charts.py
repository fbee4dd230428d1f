"""The charts of the page, as specifications of Vega-Lite whose data are in the page.

Colours are variables of the style sheet, so that charts follow its light and dark theme. The
variables `--s0`, `--s1`, ... are the colours of the strategies; markers are those of the figures.
The parameters of the charts (class, strategy, metric, loss) are bound to controls of the page.
"""

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline

from weakneg.analysis.partial import ALL
from weakneg.report.figures.style import Style

Spec = dict[str, Any]
"""A specification of Vega-Lite."""

_ROW = 30  # pixels
_FONT = "system-ui, sans-serif"
_CONFIG: Spec = {
    "font": _FONT,
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--grid)",
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "tickColor": "var(--line)",
        "titleColor": "var(--muted)",
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 8},
    "legend": {"disable": True},  # the page has them, so that its layout is known before charts
    "title": {"color": "var(--ink)"},
}


_FEW = alt.ExprRef("width < 300 ? 3 : 6")
_PICKED = "picked === '' || datum.strategy === picked"  # one strategy, or all


class Looks:
    """How strategies look in all charts of a page.

    Parameters
    ----------
    styles : mapping
        Name of a strategy on the page -> its style in the figures, in the order of rows.
    """

    def __init__(self, styles: Mapping[str, Style]):
        self.names = [*styles]
        self.colours = [style.colour for style in styles.values()]
        variables = [f"var(--s{n})" for n in range(len(styles))]
        markers = [outline(style.marker) for style in styles.values()]
        self.of_name = dict(zip(styles, zip(self.colours, markers, strict=True), strict=True))
        self.legend = dict(zip(styles, zip(variables, markers, strict=True), strict=True))
        self.n_compared = len(self.names) - 1  # without the baseline
        self.colour = alt.Scale(domain=self.names, range=variables)
        self.shape = alt.Scale(domain=self.names, range=markers)
        self.rows = alt.Y(
            "strategy:N",
            sort=self.names,
            title=None,
            axis=alt.Axis(
                # Of strategies that share a run, the first.
                labelExpr="replace(datum.label, / = .*/, ' = …')",
                labelColor="var(--ink)",
                labelLimit=150,
                grid=False,
            ),
        )


def outline(marker: str) -> str:
    """A marker of matplotlib as a path of SVG, within -1 to 1 as Vega expects."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    scale = 0.9 / np.abs(path.vertices).max()
    letters = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}
    parts = []
    for points, code in path.iter_segments(simplify=False):
        if code == Outline.CLOSEPOLY:
            parts.append("Z")
        else:
            pairs = (points * scale).reshape(-1, 2) * (1, -1)  # the y axis of SVG points down
            parts.append(letters[code] + " ".join(f"{x:.3f},{y:.3f}" for x, y in pairs))
    return "".join(parts)


def _choice(name: str, value: str) -> alt.Parameter:
    """A parameter that a control of the page sets."""
    return alt.param(name=name, value=value, bind=alt.BindDirect(element=f"#choose-{name}"))


def _spec(chart: Any, height: float, description: str) -> Spec:
    chart = chart.properties(width="container", height=height, description=description)
    found: Spec = chart.configure(**_CONFIG).to_dict()
    return found


def _whole(highest: int) -> list[int]:
    """At most eleven round ticks from 0."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if highest <= 10 * s or s == 1000)
    return [*range(0, highest + 1, step)]


def _signed(form: str) -> alt.Axis:
    """An axis of differences."""
    label = "datum.value === 0 ? '0' : datum.label"
    return alt.Axis(format=f"+{form}", labelExpr=label, tickCount=_FEW)


def _zero() -> alt.Chart:
    values = alt.Data(values=[{"zero": 0}])
    rule = alt.Chart(values).mark_rule(color="var(--muted)", strokeDash=[4, 3])
    return rule.encode(x="zero:Q")


def _tooltip(*fields: str) -> list[alt.Tooltip]:
    """Tooltips of fields such as "ap:Q:.3f:AP" (field, type, format and title)."""
    found = []
    for each in fields:
        field, kind, form, title = each.split(":", 3)
        options: Spec = {"format": form} if form else {}
        found.append(alt.Tooltip(field=field, title=title, type=_KINDS[kind], **options))
    return found


_KINDS: Spec = {"Q": "quantitative", "N": "nominal"}


def overall(looks: Looks, baseline: str) -> Spec:
    """Mean difference from the baseline, with its interval, for every strategy."""
    base = alt.Chart(alt.NamedData("comparisons")).transform_filter("datum.metric == metric")
    tooltip = _tooltip(
        "strategy:N::Strategy",
        "difference:Q:+.4f:Mean difference",
        "low:Q:+.4f:Interval from",
        "high:Q:+.4f:to",
        "wins:Q::Classes better",
        "losses:Q::Classes worse",
        "p:N::Wilcoxon p, Holm",
    )
    colour = alt.Color("strategy:N", scale=looks.colour)
    title = f"mean difference from {baseline}"
    x = alt.X("difference:Q", title=title, axis=_signed(".3~f"))
    rule = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title), x2="high:Q", y=looks.rows, color=colour, tooltip=tooltip
    )
    point = base.mark_point(filled=True, opacity=1, size=110).encode(
        x=x,
        y=looks.rows,
        color=colour,
        shape=alt.Shape("strategy:N", scale=looks.shape),
        tooltip=tooltip,
    )
    chart = alt.layer(_zero(), rule, point).add_params(_choice("metric", "ap"))
    return _spec(
        chart,
        _ROW * looks.n_compared,
        f"Mean difference from {baseline} of every strategy, with its 95% bootstrap interval.",
    )


OUTCOMES = {
    "clearly better": "var(--better)",
    "better": "var(--better-faint)",
    "tie": "var(--tie)",
    "worse": "var(--worse-faint)",
    "clearly worse": "var(--worse)",
}


def wins(looks: Looks, baseline: str, n_classes: int) -> Spec:
    """Number of classes on which each strategy is better or worse than the baseline."""
    order = {outcome: n for n, outcome in enumerate(OUTCOMES)}
    chart = (
        alt.Chart(alt.NamedData("outcomes"))
        .transform_filter("datum.metric == metric")
        .mark_bar(stroke="var(--paper)", strokeWidth=1)
        .encode(
            x=alt.X(
                "classes:Q",
                title="classes",
                scale=alt.Scale(domain=[0, n_classes], nice=False),
                axis=alt.Axis(values=_whole(n_classes), format="d"),
            ),
            y=looks.rows,
            color=alt.Color(
                "outcome:N",
                title=None,
                scale=alt.Scale(domain=[*order], range=[*OUTCOMES.values()]),
                legend=None,  # in the page
            ),
            order=alt.Order("order:Q"),
            tooltip=_tooltip("strategy:N::Strategy", "outcome:N::Outcome", "classes:Q::Classes"),
        )
        .add_params(_choice("metric", "ap"))
    )
    return _spec(
        chart,
        _ROW * looks.n_compared,
        f"Number of classes on which each strategy is better or worse than {baseline}; clearly:"
        " the 95% interval over seeds excludes zero.",
    )


def seeds(looks: Looks, first_class: str) -> Spec:
    """The results of the chosen class: a point for each seed, and mean and interval."""
    chosen = "datum['class'] == chosen_class"
    points = (
        alt.Chart(alt.NamedData("runs"))
        .transform_filter(chosen)
        .transform_calculate(value="datum[metric]")
        .mark_point(filled=True, opacity=0.55, size=60)
        .encode(
            x=alt.X(
                "value:Q",
                title="on the test bags, per seed",
                scale=alt.Scale(zero=False),
                axis=alt.Axis(tickCount=_FEW),
            ),
            y=looks.rows,
            color=alt.Color("strategy:N", scale=looks.colour),
            shape=alt.Shape("strategy:N", scale=looks.shape),
            tooltip=_tooltip(
                "strategy:N::Strategy",
                "class:N::Class",
                "seed:Q::Seed",
                "ap:Q:.4f:AP",
                "roc_auc:Q:.4f:ROC-AUC",
                "best_epoch:Q::Epoch kept",
                "epochs:Q::of epochs",
                "bags_trained:Q:,:Bags trained on",
                "seconds:Q:,.1f:Seconds",
            ),
        )
    )
    cells = (
        alt.Chart(alt.NamedData("cells"))
        .transform_filter(f"{chosen} && datum.metric == metric")
        .encode(y=looks.rows)
    )
    mean = cells.mark_tick(color="var(--ink)", thickness=2, size=18).encode(x="mean:Q")
    chart = alt.layer(points, mean).add_params(
        _choice("chosen_class", first_class), _choice("metric", "ap")
    )
    return _spec(
        chart,
        _ROW * len(looks.names),
        "Results of every seed on the chosen class, by strategy; the line is their mean.",
    )


def class_differences(looks: Looks, baseline: str, first_class: str, limit: float) -> Spec:
    """Differences from the baseline on the chosen class, with intervals over seeds."""
    return _differences(
        "datum['class'] == chosen_class",
        looks.rows,
        looks,
        baseline,
        _choice("chosen_class", first_class),
        f"Difference from {baseline} on the chosen class, with its 95% interval over seeds.",
        _ROW * looks.n_compared,
        limit,
    )


def strategy_differences(
    looks: Looks, baseline: str, first: str, n_classes: int, limit: float
) -> Spec:
    """Differences of the chosen strategy from the baseline on every class."""
    rows = alt.Y(
        "class:N",
        sort=alt.EncodingSortField("difference", order="descending"),
        title=None,
        axis=alt.Axis(labelColor="var(--ink)", labelLimit=150, grid=False),
    )
    return _differences(
        "datum.strategy == chosen_strategy",
        rows,
        looks,
        baseline,
        _choice("chosen_strategy", first),
        f"Difference of the chosen strategy from {baseline} on every class, the largest first,"
        " with its 95% interval over seeds.",
        n_classes * (20 if n_classes > 12 else 24),
        limit,
    )


def _differences(
    which: str,
    rows: alt.Y,
    looks: Looks,
    baseline: str,
    choice: alt.Parameter,
    description: str,
    height: int,
    limit: float,
) -> Spec:
    scale = alt.Scale(domain=[-limit, limit], nice=False)
    base = (
        alt.Chart(alt.NamedData("differences"))
        .transform_filter(f"{which} && datum.metric == metric")
        .encode(
            y=rows,
            color=alt.Color("strategy:N", scale=looks.colour),
            tooltip=_tooltip(
                "class:N::Class",
                "strategy:N::Strategy",
                "difference:Q:+.4f:Difference",
                "low:Q:+.4f:Interval from",
                "high:Q:+.4f:to",
                "n_positive:Q:,.0f:Positive training bags",
            ),
        )
    )
    title = f"difference from {baseline}"
    rule = base.mark_rule(strokeWidth=2, clip=True).encode(
        x=alt.X("low:Q", title=title, scale=scale), x2="high:Q"
    )
    point = base.mark_point(filled=True, opacity=1, size=90).encode(
        x=alt.X("difference:Q", title=title, scale=scale, axis=_signed(".3~f")),
        shape=alt.Shape("strategy:N", scale=looks.shape),
    )
    chart = alt.layer(_zero(), rule, point).add_params(choice, _choice("metric", "ap"))
    return _spec(chart, height, description)


def curves(looks: Looks, first_class: str, n_epochs: int) -> Spec:
    """Validation AP over the epochs on the chosen class: each seed, and the mean."""
    base = (
        alt.Chart(alt.NamedData("curves"))
        .transform_filter("datum['class'] == chosen_class")
        .transform_flatten(["epoch", "ap"])
    )
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(domain=[0, n_epochs], nice=False),
        axis=alt.Axis(values=_whole(n_epochs), format="d", grid=False),
    )
    title = "validation AP"
    colour = alt.Color("strategy:N", scale=looks.colour)
    tooltip = ["strategy:N::Strategy", "seed:Q::Seed", "epoch:Q::Epoch", "ap:Q:.4f:Validation AP"]
    each = base.mark_line(strokeWidth=1).encode(
        x=x,
        y=alt.Y("ap:Q", title=title, scale=alt.Scale(zero=False)),
        color=colour,
        detail="seed:N",
        opacity=alt.condition(_PICKED, alt.value(0.3), alt.value(0.03)),
        tooltip=_tooltip(*tooltip),
    )
    mean = base.mark_line(strokeWidth=2.5).encode(
        x=x,
        y=alt.Y("mean(ap):Q", title=title),
        color=colour,
        opacity=alt.condition(_PICKED, alt.value(1), alt.value(0.08)),
    )
    chart = alt.layer(each, mean).add_params(
        _choice("picked", ""), _choice("chosen_class", first_class)
    )
    return _spec(
        chart,
        300,
        "Average precision on the validation bags after every epoch, on the chosen class: thin"
        " lines are seeds, thick lines the mean of those still training.",
    )


def hidden(looks: Looks, first_loss: str) -> Spec:
    """AP against the share of hidden positives, for the chosen loss."""
    base = (
        alt.Chart(alt.NamedData("hidden"))
        .transform_filter("datum.loss == chosen_loss")
        .encode(
            x=alt.X(
                "hidden:Q",
                title="positives hidden",
                axis=alt.Axis(format=".0%", grid=False, tickCount=_FEW),
            ),
            y=alt.Y("mean:Q", title="test AP", scale=alt.Scale(zero=False)),
            color=alt.Color("strategy:N", scale=looks.colour),
            tooltip=_tooltip(
                "strategy:N::Strategy",
                "loss:N::Loss",
                "hidden:Q:.0%:Hidden",
                "mean:Q:.4f:Test AP",
                "low:Q:.4f:Interval from",
                "high:Q:.4f:to",
            ),
        )
    )
    chart = alt.layer(*_lines(base, looks)).add_params(_choice("chosen_loss", first_loss))
    return _spec(
        chart, 320, "Test AP against the share of hidden positives, by strategy, for one loss."
    )


def budget(looks: Looks) -> Spec:
    """The metric against the bags trained on; what has no budget is also a level."""
    base = (
        alt.Chart(alt.NamedData("budget"))
        .transform_filter("datum.metric == metric")
        .encode(
            y=alt.Y("mean:Q", title="on the test bags", scale=alt.Scale(zero=False)),
            color=alt.Color("strategy:N", scale=looks.colour),
            tooltip=_tooltip(
                "strategy:N::Strategy",
                "budget:Q:~g:Negatives per positive",
                "bags:Q:,.0f:Bags trained on",
                "steps:Q:,.0f:Steps",
                "seconds:Q:,.1f:Seconds",
                "mean:Q:.4f:Mean",
                "low:Q:.4f:Interval from",
                "high:Q:.4f:to",
            ),
        )
    )
    level = base.transform_filter("!isValid(datum.budget)").mark_rule(strokeDash=[4, 3])
    curves = base.encode(
        x=alt.X(
            "bags:Q",
            title="bags trained on, in all epochs",
            scale=alt.Scale(type="log", nice=False, padding=20),
            axis=alt.Axis(format="~s", grid=False, tickCount=_FEW),
        )
    )
    chart = alt.layer(level, *_lines(curves, looks)).add_params(_choice("metric", "ap"))
    return _spec(
        chart,
        320,
        "Result on the test bags against the number of bags trained on, by strategy; each mark is"
        " a budget, and the dashed line the level of the full set.",
    )


def partial(looks: Looks, levels: list[str]) -> Spec:
    """The metric of every method in the chosen group of classes.

    Parameters
    ----------
    looks : Looks
        The methods.
    levels : list of str
        Observed labels that it is drawn against; none: methods are rows.
    """
    base = (
        alt.Chart(alt.NamedData("partial"))
        .transform_filter("datum.metric == metric && datum.group == chosen_group")
        .encode(
            color=alt.Color("strategy:N", scale=looks.colour),
            tooltip=_tooltip(
                "strategy:N::Method",
                "observed:N::Labels observed",
                "classes:Q::Classes",
                "mean:Q:.4f:Mean",
                "low:Q:.4f:Interval from",
                "high:Q:.4f:to",
                "difference:Q:+.4f:From the baseline",
                "seeds_low:Q:+.4f:Over seeds, from",
                "seeds_high:Q:+.4f:to",
                "classes_low:Q:+.4f:Over classes, from",
                "classes_high:Q:+.4f:to",
            ),
        )
    )
    title = "mean on the test bags"
    if levels:
        curves = base.encode(
            x=alt.X(
                "observed:N",
                sort=levels,
                title="labels observed",
                axis=alt.Axis(grid=False, labelAngle=0),
            ),
            y=alt.Y("mean:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color("strategy:N", scale=looks.colour),
        )
        chart = alt.layer(*_lines(curves, looks))
    else:
        scale = alt.Scale(zero=False)
        rule = base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title=title, scale=scale), x2="high:Q", y=looks.rows
        )
        point = base.mark_point(filled=True, opacity=1, size=90).encode(
            x=alt.X("mean:Q", title=title, scale=scale, axis=alt.Axis(tickCount=_FEW)),
            y=looks.rows,
            shape=alt.Shape("strategy:N", scale=looks.shape),
        )
        chart = alt.layer(rule, point)
    chart = chart.add_params(_choice("chosen_group", ALL), _choice("metric", "ap"))
    return _spec(
        chart,
        320 if levels else _ROW * len(looks.names),
        "Mean over classes of the result on the test bags, for every method, with its 95% interval"
        " over seeds where methods are rows.",
    )


def labels(looks: Looks, first_measure: str) -> Spec:
    """The chosen measure of what became of the labels, by epoch."""
    colour = alt.Color("strategy:N", scale=looks.colour)
    chart = (
        alt.Chart(alt.NamedData("labels"))
        .transform_filter("datum.measure == chosen_measure")
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(grid=False, tickMinStep=1)),
            y=alt.Y("mean:Q", title="mean over seeds"),
            color=colour,
            opacity=alt.condition(_PICKED, alt.value(1), alt.value(0.08)),
            tooltip=_tooltip(
                "strategy:N::Method",
                "epoch:Q::Epoch",
                "mean:Q:.4f:Mean",
                "low:Q:.4f:Interval from",
                "high:Q:.4f:to",
            ),
        )
        .add_params(_choice("picked", ""), _choice("chosen_measure", first_measure))
    )
    return _spec(chart, 320, "What became of the labels of every method, epoch by epoch.")


def _lines(base: alt.Chart, looks: Looks) -> list[alt.Chart]:
    """A line for every strategy, and its marks."""
    shape = alt.Shape("strategy:N", scale=looks.shape)
    return [
        base.mark_line(strokeWidth=2),
        base.mark_point(filled=True, opacity=1, size=80).encode(shape=shape),
    ]


# ---------------------------------------------------------------------------------------------
# Data


def records(table: pd.DataFrame, decimals: int = 5) -> list[Spec]:
    """The rows of a table for JSON; numbers are rounded, and those that are not finite are null."""
    rows = table.round(decimals).astype(object)
    found: list[Spec] = rows.where(table.notna(), None).to_dict("records")
    return found


def outcomes(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Number of classes by strategy, metric and outcome, from win_counts.csv."""
    clear = comparisons[["clear_wins", "clear_losses"]]
    counts = {
        "clearly better": clear["clear_wins"],
        "better": comparisons["wins"] - clear["clear_wins"],
        "tie": comparisons["ties"],
        "worse": comparisons["losses"] - clear["clear_losses"],
        "clearly worse": clear["clear_losses"],
    }
    keys = comparisons[["strategy", "metric"]]
    return pd.concat(
        [
            keys.assign(outcome=outcome, order=order, classes=counts[outcome])
            for order, outcome in enumerate(OUTCOMES)
        ],
        ignore_index=True,
    )


def against(looks: Mapping[str, tuple[str, str]], first: str, second: str) -> Spec:
    """Results of two chosen studies against each other, a mark for each class and strategy."""
    scales = [
        alt.Scale(domain=[*looks], range=[*each]) for each in zip(*looks.values(), strict=True)
    ]
    axis = alt.Scale(zero=False)
    marks = (
        alt.Chart(alt.NamedData("cells"))
        .transform_filter(
            "datum.metric == metric && (datum.study == study_a || datum.study == study_b)"
        )
        .transform_pivot("study", value="mean", groupby=["class", "strategy"])
        .transform_calculate(
            x="datum[study_a]", y="datum[study_b]", difference="datum[study_b] - datum[study_a]"
        )
        .transform_filter("isValid(datum.x) && isValid(datum.y)")
    )
    line = marks.mark_line(color="var(--muted)", strokeDash=[4, 3]).encode(
        x=alt.X("x:Q", scale=axis), y=alt.Y("x:Q", scale=axis)
    )
    points = marks.mark_point(filled=True, opacity=0.8, size=70).encode(
        x=alt.X("x:Q", title="in the first study", scale=axis),
        y=alt.Y("y:Q", title="in the second study", scale=axis),
        color=alt.Color("strategy:N", scale=scales[0]),
        shape=alt.Shape("strategy:N", scale=scales[1]),
        tooltip=_tooltip(
            "class:N::Class",
            "strategy:N::Strategy",
            "x:Q:.4f:In the first study",
            "y:Q:.4f:In the second study",
            "difference:Q:+.4f:Difference",
        ),
    )
    chart = alt.layer(line, points).add_params(
        _choice("study_a", first), _choice("study_b", second), _choice("metric", "ap")
    )
    return _spec(
        chart,
        420,
        "Means over seeds in the second study against those in the first, for every class and"
        " strategy that both have; on the line, both are equal.",
    )
