"""The audit of selections as a text in Markdown."""

import math
import urllib.parse
from collections.abc import Sequence

import pandas as pd

from weakneg.analysis.most_selected import Counts, Link, identity, shares
from weakneg.analysis.selection_measures import (
    EFFECTIVE_COLUMN,
    enrichment,
    over_epochs_and_at_the_end,
)
from weakneg.analysis.selections import ClassBags
from weakneg.analysis.study import Study
from weakneg.report.formatting import DASH, classes_phrase, number, percentage, seeds_phrase
from weakneg.report.markdown import TEXT, escape, markdown_table

TOP_SHOWN = 5  # negative bags per class


def audit_text(
    by_pair: pd.DataFrame,
    by_strategy: pd.DataFrame,
    sections: Sequence[str],
    study: Study,
    any_unknown: bool = False,
) -> str:
    """The whole text.

    Parameters
    ----------
    by_pair, by_strategy : DataFrame
        The overlaps and the turnovers, as results of
        `weakneg.analysis.selection_measures.by_training`.
    sections : sequence of str
        The sections of the classes: see `class_section`.
    study : Study
        The study.
    any_unknown : bool
        Whether the label of any bag is unknown.

    Returns
    -------
    str
        Markdown.
    """
    n_seeds = by_strategy["seed"].nunique()
    parts = [
        f"# {escape(study.title)}: which negatives were chosen",
        f"Means over {classes_phrase(len(study.classes))} and {seeds_phrase(n_seeds)};"
        " in parentheses, the values for uniformly random choices of the same sizes"
        " from the same pool.",
    ]
    if study.note:
        parts.append(study.note)
    parts += ["## Overlap", *_overlap_part(by_pair, study)]
    parts += ["## Turnover", *_turnover_part(by_strategy, study)]
    knows_relations = by_strategy["related"].notna().any()
    parts += ["## Most often chosen negatives", _explanation(knows_relations, any_unknown)]
    parts += sections
    return "\n\n".join(parts) + "\n"


def _overlap_part(table: pd.DataFrame, study: Study) -> list[str]:
    strategies = study.competitors
    table = table[table["strategy_a"].isin(strategies) & table["strategy_b"].isin(strategies)]
    if table.empty:
        return ["An overlap needs two strategies that choose bags."]
    means = table.groupby(["strategy_a", "strategy_b"], observed=True)["jaccard"].mean()
    return [
        "Jaccard index of the bags that two strategies chose at the same epoch (1: the same bags,"
        " 0: none in common), also averaged over epochs; random choices:"
        f" {number(table['expected_jaccard'].mean(), 2)}.",
        markdown_table(
            ["", *map(study.display_name, strategies[1:])],
            [
                [
                    study.joint_name(a),
                    *(number(means[a, b], 2) if (a, b) in means else "" for b in strategies[1:]),
                ]
                for a in strategies[:-1]
            ],
            *[TEXT] * len(strategies),
        ),
    ]


def _turnover_part(table: pd.DataFrame, study: Study) -> list[str]:
    over_epochs, at_the_end = over_epochs_and_at_the_end(table)
    columns = {
        "New in a selection": (over_epochs, "turnover"),
        "Share of the pool used": (at_the_end, "used"),
        "Chosen before": (at_the_end, "returns"),
    }
    knows_relations = table["related"].notna().any()
    if knows_relations:
        columns["Related label"] = (over_epochs, "related")

    def cell(strategy: str, means: pd.DataFrame, measure: str) -> str:
        if strategy not in means.index:
            return DASH
        if measure == EFFECTIVE_COLUMN:  # random choices have no weights
            return percentage(means.loc[strategy, measure])
        values = means.loc[strategy, [measure, f"expected_{measure}"]]
        if measure == "returns":  # the only measure that is not a share
            return "{:.1f} ({:.1f})".format(*values)
        return "{} ({})".format(*map(percentage, values))

    text = (
        "New in a selection: share of its bags that were not in the previous one. Share of the pool"
        " used: chosen at least once by the end of training. Chosen before: how often the bags of"
        " the last selection had been chosen before."
    )
    if EFFECTIVE_COLUMN in table:
        columns["Effective"] = (over_epochs, EFFECTIVE_COLUMN)
        text += (
            " Effective: Kish's effective number of bags, (sum of w)² / sum of w², per bag chosen,"
            " where w are the weights that a strategy gives; 100% without weights."
        )
    header = ["Strategy", *columns]
    rows = [
        [study.joint_name(strategy), *(cell(strategy, *column) for column in columns.values())]
        for strategy in study.competitors
    ]
    if knows_relations:
        text += (
            " Related label: share of the chosen bags with a label that implies the class or is"
            " implied by it; enrichment: that share divided by the share in the pool"
        )
        n_seeds = table["seed"].nunique()
        text += "." if n_seeds == 1 else ", ± half-width of its 95% interval over seeds."
        header.append("Enrichment")
        for strategy, row in zip(study.competitors, rows, strict=True):
            row.append(_enrichment(table[table["strategy"] == strategy]))
    return [text, markdown_table(header, rows, *[TEXT] * len(header))]


def _enrichment(of_strategy: pd.DataFrame) -> str:
    found = enrichment(of_strategy)
    if found is None:
        return DASH
    mean, half_width = found
    return f"{mean:.2f}" if math.isnan(half_width) else f"{mean:.2f} ± {half_width:.2f}"


def _explanation(knows_relations: bool, any_unknown: bool) -> str:
    text = (
        f"The {TOP_SHOWN} negative bags of each class that were chosen most often, counted over"
        " seeds, epochs and the strategies that score bags; most_selected.csv lists more."
    )
    if knows_relations:
        text += (
            " They are candidates for missing labels, above all those with a label in **bold**,"
            " which implies the class or is implied by it."
        )
    if any_unknown:
        text += (
            " A bag that is called unknown may be positive: the list does not say what it is, and"
            " training took it for a negative."
        )
    return text


def class_section(class_name: str, bags: ClassBags, pooled: Counts, link: Link | None) -> str:
    """The bags of a class that were chosen most often.

    Parameters
    ----------
    class_name : str
        The class.
    bags : ClassBags
        Its bags.
    pooled : Counts
        How often each was chosen, by all strategies that score.
    link : callable, optional
        URL of a clip, from its id and its start in seconds.

    Returns
    -------
    str
        Markdown.
    """
    lines = [f"### {escape(class_name)}", ""]
    for what, which in (("Related labels", bags.related), ("Unknown", bags.unknown)):
        if found := shares(which, pooled):
            chosen, in_pool = found
            lines += [f"{what}: {chosen:.1%} of the chosen bags, {in_pool:.1%} of the pool.", ""]
    for place, row in enumerate(pooled.top(TOP_SHOWN).tolist(), start=1):
        text = f"{place}. {_bag_link(bags, row, link)}"
        if bags.unknown is not None and bags.unknown[row]:
            text += " (unknown)"
        text += f", chosen {pooled.times[row]} of {pooled.selections[row]} times"
        related = bags.related_classes or ()
        shown = [
            f"**{escape(label)}**" if label in related else escape(label)
            for label in bags.labels_of(row)
        ]
        # Semicolons, since names of classes contain commas.
        lines.append(text + (f": {'; '.join(shown)}" if shown else ""))
    if not pooled.times.any():
        lines.append("No strategy of the study scores the bags that it chooses.")
    return "\n".join(lines)


def _bag_link(bags: ClassBags, row: int, link: Link | None) -> str:
    if bags.clips is None:
        draw = f" of draw {bags.draw[row]}" if (bags.draw != bags.draw[0]).any() else ""
        return f"bag {bags.bag[row]}{draw}"
    of_bag = identity(bags, row, link)
    if not of_bag["link"]:
        start = f" at {of_bag['start']:g} s" if of_bag["start"] else ""
        return escape(of_bag["id"]) + start
    # Quote again, so that no character ends the Markdown link early; % keeps what is quoted.
    url = urllib.parse.quote(of_bag["link"], safe=":/?&=%#+,;@~")
    return f"[{escape(of_bag['id'])}]({url})"
