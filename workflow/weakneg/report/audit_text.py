"""The audit of selections as a text for people."""

import urllib.parse
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from weakneg.analysis.intervals import mean_interval
from weakneg.analysis.most_selected import Counts
from weakneg.analysis.selections import ClassBags
from weakneg.analysis.study import distinct_strategies, joint_name, strategy_name, upper_bound
from weakneg.report.formatting import DASH, classes_phrase, number, percentage, seeds_phrase
from weakneg.report.markdown import escape, text_table

TOP_FOR_PEOPLE = 5  # negatives shown per class


def identity(bags: ClassBags, row: int, link: Callable[[str, float], str] | None) -> dict:
    """id, start and link of a bag; empty where there is none."""
    if bags.clips is None:
        return {"id": "", "start": "", "link": ""}
    name, start = bags.clips["id"][row], float(bags.clips["start"][row])
    return {"id": name, "start": start, "link": link(name, start) if link else ""}


# ----------------------------------------------------------------------------- for people
def audit_text(
    by_pair: pd.DataFrame, by_strategy: pd.DataFrame, sections: Sequence[str], study: Mapping
) -> str:
    competitors = [s for s in distinct_strategies(study) if s != upper_bound(study)]
    n_seeds = by_strategy["seed"].nunique()
    parts = [
        f"# {escape(study['title'])}: which negatives were chosen",
        f"Means over {classes_phrase(len(study['classes']))} and {seeds_phrase(n_seeds)};"
        " in parentheses what uniformly random choices of the same sizes"
        " from the same pool give.",
    ]
    if study.get("note"):
        parts.append(study["note"])
    parts += ["## Overlap", *_overlap_part(by_pair, competitors, study)]
    parts += ["## Turnover", *_turnover_part(by_strategy, competitors, study)]
    knows_relations = by_strategy["related"].notna().any()
    parts += ["## Most often chosen negatives", _explanation(knows_relations), *sections]
    return "\n\n".join(parts) + "\n"


def _overlap_part(table: pd.DataFrame, strategies: Sequence[str], study: Mapping) -> list[str]:
    table = table[table["strategy_a"].isin(strategies) & table["strategy_b"].isin(strategies)]
    if table.empty:
        return ["Overlap needs two strategies that choose."]
    means = table.groupby(["strategy_a", "strategy_b"], observed=True)["jaccard"].mean()
    return [
        "Jaccard index of the bags that two strategies chose at the same epoch (1: the same bags,"
        " 0: none in common), mean over epochs too; random choices:"
        f" {number(table['expected_jaccard'].mean(), 2)}.",
        text_table(
            ["", *map(strategy_name, strategies[1:])],
            [
                [
                    joint_name(study, a),
                    *(number(means[a, b], 2) if (a, b) in means else "" for b in strategies[1:]),
                ]
                for a in strategies[:-1]
            ],
        ),
    ]


def _turnover_part(table: pd.DataFrame, strategies: Sequence[str], study: Mapping) -> list[str]:
    by_seed = table.groupby(["strategy", "class", "seed"], observed=True)
    over_epochs = by_seed.mean(numeric_only=True).groupby("strategy", observed=True).mean()
    at_the_end = by_seed.tail(1).groupby("strategy", observed=True).mean(numeric_only=True)
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
        values = means.loc[strategy, [measure, f"expected_{measure}"]]
        if measure == "returns":  # the only one that is no share
            return "{:.1f} ({:.1f})".format(*values)
        return "{} ({})".format(*map(percentage, values))

    text = (
        "New in a selection: share of its bags that were not in the one before. Share of the pool"
        " used: chosen at least once by the end of the training. Chosen before: how often the bags"
        " of the last selection had been chosen before."
    )
    header = ["Strategy", *columns]
    rows = [
        [joint_name(study, strategy), *(cell(strategy, *column) for column in columns.values())]
        for strategy in strategies
    ]
    if knows_relations:
        text += (
            " Related label: share of the chosen bags that carry a label which implies the class or"
            " which it implies; enrichment: that share over the pool's"
        )
        n_seeds = table["seed"].nunique()
        text += "." if n_seeds == 1 else ", ± half-width of its 95% interval over seeds."
        header.append("Enrichment")
        for strategy, row in zip(strategies, rows, strict=True):
            row.append(_enrichment(table[table["strategy"] == strategy]))
    return [text, text_table(header, rows)]


def _enrichment(of_strategy: pd.DataFrame) -> str:
    """Share of chosen bags with a related label over that of the pool, of means over classes."""
    means = of_strategy.groupby(["seed", "class"])[["related", "expected_related"]].mean()
    shares = means.groupby("seed").mean()
    if shares.empty or (shares["expected_related"] == 0).any():
        return DASH
    mean, _, high = mean_interval(shares["related"] / shares["expected_related"])
    return f"{mean:.2f}" if len(shares) == 1 else f"{mean:.2f} ± {high - mean:.2f}"


def _explanation(knows_relations: bool) -> str:
    text = (
        f"The {TOP_FOR_PEOPLE} negative bags of each class that were chosen most often, counted"
        " over seeds, epochs and the strategies that score bags; most_selected.csv lists more."
    )
    if knows_relations:
        text += (
            " They are the candidates for missing labels, **bold** labels the first of all: each"
            " implies the class or is implied by it."
        )
    return text


def class_section(
    class_name: str,
    bags: ClassBags,
    pooled: Counts,
    link: Callable[[str, float], str] | None,
) -> str:
    lines = [f"### {escape(class_name)}", ""]
    if bags.related is not None and pooled.times.any():
        in_pool = pooled.selections[bags.related].sum() / pooled.selections.sum()
        chosen = pooled.times[bags.related].sum() / pooled.times.sum()
        lines += [
            f"Related labels: {chosen:.1%} of the chosen bags, {in_pool:.1%} of the pool.",
            "",
        ]
    for place, row in enumerate(pooled.top(TOP_FOR_PEOPLE).tolist(), start=1):
        text = f"{place}. {_bag_link(bags, row, link)}"
        text += f", chosen {pooled.times[row]} of {pooled.selections[row]} times"
        labels = bags.clips["labels"][row] if bags.clips is not None else []
        related = bags.related_classes or ()
        shown = [f"**{escape(label)}**" if label in related else escape(label) for label in labels]
        # Names of classes have commas.
        lines.append(text + (f": {'; '.join(shown)}" if shown else ""))
    if not pooled.times.any():
        lines.append("No strategy of the study scores the bags that it chooses.")
    return "\n".join(lines)


def _bag_link(bags: ClassBags, row: int, link: Callable[[str, float], str] | None) -> str:
    if bags.clips is None:
        draw = f" of draw {bags.draw[row]}" if (bags.draw != bags.draw[0]).any() else ""
        return f"bag {bags.bag[row]}{draw}"
    of_bag = identity(bags, row, link)
    if not of_bag["link"]:
        start = f" at {of_bag['start']:g} s" if of_bag["start"] else ""
        return escape(of_bag["id"]) + start
    # Once more, so that no sign ends the Markdown link early; quoted signs stay as they are.
    url = urllib.parse.quote(of_bag["link"], safe=":/?&=%#+,;@~")
    return f"[{escape(of_bag['id'])}]({url})"
