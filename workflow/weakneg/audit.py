"""Audit of the selections: which negative bags each strategy chose, epoch after epoch.

Measures of the selections of one class and seed, each beside what uniformly random choices of the
same sizes, from the same pool or candidates, give on average (`expected_...`, exact):

- Jaccard index of the bags that two strategies chose at the same epoch;
- turnover: share of a selection's bags that were not in the selection before it;
- used: share of the pool that has been chosen at least once so far (distinct: number of bags);
- returns: how often a selection's bags had been chosen before, mean over its bags;
- related: share of a selection's bags that carry a label related to the class, one that implies it
  or that it implies. A clip tagged "Dog" but not "Animal" lacks a label of "Animal".

Strategies that share a run are one (`weakneg.wording.distinct_strategies`). The selections of the
warm-up are left out, since they are random whatever the strategy.
"""

import itertools
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from scipy.special import gammaln

from weakneg import datasets
from weakneg.bags import LABEL_SEPARATOR
from weakneg.evaluation import mean_interval
from weakneg.files import replace_when_whole
from weakneg.selections import (
    ClassBags,
    Selections,
    bags_of_classes,
    runs_of_classes,
    selections_of_seeds,
)
from weakneg.wording import (
    DASH,
    classes_phrase,
    distinct_strategies,
    escape,
    joint_name,
    number,
    percentage,
    seeds_phrase,
    strategy_name,
    upper_bound,
)

TOP = 20  # negatives listed per class and strategy
TOP_FOR_PEOPLE = 5  # negatives shown per class
MEASURES = ("turnover", "used", "distinct", "returns", "related")
OVERLAP_COLUMNS = ["strategy_a", "strategy_b", "epoch", "jaccard", "expected_jaccard", "n"]
TURNOVER_COLUMNS = [
    "strategy",
    "epoch",
    *(f"{prefix}{measure}" for measure in MEASURES for prefix in ("", "expected_")),
    "n",
]
MOST_SELECTED_COLUMNS = [
    "class",
    "strategy",
    "rank",
    "draw",
    "bag",
    "id",
    "start",
    "link",
    "times",
    "selections",
    "mean_place",
    "mean_score",
    "other_labels",
    "related_labels",
]


def write_audit(
    runs: Sequence[tuple[str, str | Path]],
    manifests: Sequence[str | Path],
    study: Mapping,
    dataset: str,
    data_folder: str | Path,
    output_folder: str | Path,
) -> None:
    """Stage: write selection_overlap.csv, selection_turnover.csv, most_selected.csv, selection.md.

    runs : (strategy, run folder) pairs; strategies that choose the same bags share a folder
    manifests : of the training bags, one for each class of the study, in its order; one for all
        classes where the study's unit is the clip
    study : as `weakneg.wording` describes it, with `runs` (strategy -> name of its run) and `unit`
    dataset, data_folder : name of the data set, whose file may define `link(id, start)` and
        `related_classes(folder)`, and the folder of its files

    `n` in the first two tables is the number of (class, seed) pairs that a mean is over: seeds may
    stop at different epochs. most_selected.csv holds only strategies that score the bags they
    choose, since a choice at random or of all says nothing about a bag. `selections` counts those
    at which the bag was in the pool, hence not for validation (with `candidate_fraction`: whether
    or not it was a candidate); `mean_place` is its mean place in the order of choice, from 0
    (first) to 1. The rank is by `times` / `selections`, then by
    `times`, then by `mean_place`, which unlike scores can be compared between epochs.

    Raises UserError when a run, a file of it or a manifest is missing or damaged, and when the
    selections are not of the manifest's bags.
    """
    module = datasets.module(dataset)
    overlaps, turnovers, candidates, sections = [], [], [], []
    classes = zip(
        runs_of_classes(runs, study).items(),
        bags_of_classes(manifests, study, module, data_folder),
        strict=True,
    )
    for position, ((class_name, of_class), bags) in enumerate(classes, start=1):
        start = time.perf_counter()
        counts = {strategy: _Counts(len(bags)) for strategy in of_class}
        for seed, selections in selections_of_seeds(of_class, bags):
            of_seed = {"class": class_name, "seed": seed}
            overlaps += [of_seed | each for each in _overlaps(selections)]
            turnovers += [of_seed | each for each in _turnovers(selections, bags)]
            for strategy, chosen in selections.items():
                counts[strategy].add(chosen)
        rows, section = _most_selected(class_name, bags, counts, module)
        candidates += rows
        sections.append(section)
        print(
            f"class {position}/{len(study['classes'])}  {class_name}"
            f"  {time.perf_counter() - start:.1f} s",
            file=sys.stderr,
            flush=True,
        )

    order = pd.CategoricalDtype(list(distinct_strategies(study)), ordered=True)
    by_pair = _long(overlaps, ["class", "seed", *OVERLAP_COLUMNS[:-1]], order)
    by_strategy = _long(turnovers, ["class", "seed", *TURNOVER_COLUMNS[:-1]], order)
    tables = {
        "selection_overlap": _means(by_pair, OVERLAP_COLUMNS),
        "selection_turnover": _means(by_strategy, TURNOVER_COLUMNS),
        "most_selected": pd.DataFrame(candidates, columns=MOST_SELECTED_COLUMNS),
    }
    folder = Path(output_folder)
    for name, table in tables.items():
        with replace_when_whole(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    with replace_when_whole(folder / "selection.md") as temporary:
        text = _markdown(by_pair, by_strategy, sections, study)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _overlaps(selections: Mapping[str, Selections]) -> Iterator[dict]:
    """Each two strategies, at the epochs at which both chose, as frames for `_long`."""
    for (name_a, a), (name_b, b) in itertools.combinations(selections.items(), 2):
        epoch, in_a, in_b = np.intersect1d(a.epoch, b.epoch, return_indices=True)
        index, expected = jaccard(a.chosen[in_a], b.chosen[in_b], a.candidates)
        yield {
            "strategy_a": name_a,
            "strategy_b": name_b,
            "epoch": epoch,
            "jaccard": index,
            "expected_jaccard": expected,
        }


def _turnovers(selections: Mapping[str, Selections], bags: ClassBags) -> Iterator[dict]:
    """Each strategy, as frames for `_long`."""
    for strategy, each in selections.items():
        related = None if bags.related is None else bags.related[each.pool]
        measures = turnover(each.chosen, related)
        yield {"strategy": strategy, "epoch": each.epoch, **measures}


# ----------------------------------------------------------------------------- the measures
def jaccard(a: np.ndarray, b: np.ndarray, candidates: int) -> tuple[np.ndarray, np.ndarray]:
    """Jaccard index of the choices in each row of a and b, and its expectation, each (E,).

    a, b : (E, N) bool, which of the N bags of a pool were chosen; no row is empty
    candidates : see `Selections`; a strategy that takes the whole pool does so all the same
    """
    shared = np.count_nonzero(a & b, axis=1)
    size_a, size_b = np.count_nonzero(a, axis=1), np.count_nonzero(b, axis=1)
    expected = [
        expected_jaccard(max(candidates, *sizes), *sizes)
        for sizes in zip(size_a.tolist(), size_b.tolist(), strict=True)
    ]
    return shared / (size_a + size_b - shared), np.array(expected)


@cache
def expected_jaccard(pool: int, a: int, b: int) -> float:
    """Mean Jaccard index of independent uniform choices of a and b bags out of `pool`.

    The number of bags in both is hypergeometric. Not `scipy.stats.hypergeom`, which takes half a
    second for choices of 12,000 bags.
    """
    shared = np.arange(max(0, a + b - pool), min(a, b) + 1)
    probability = np.exp(
        _log_binomial(a, shared) + _log_binomial(pool - a, b - shared) - _log_binomial(pool, b)
    )
    return float(np.sum(probability * shared / (a + b - shared)))


def _log_binomial(n: int, k: np.ndarray | int) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def turnover(chosen: np.ndarray, related: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The `MEASURES` of a strategy's selections, and `expected_` of each: arrays (E,).

    chosen : (E, N) bool, which bags of the pool each selection chose; no row is empty
    related : (N,) bool, which bags carry a related label; None where labels are not known

    The turnover of the first selection is NaN, and so is `related` where labels are not known.
    """
    pool = chosen.shape[1]
    size = np.count_nonzero(chosen, axis=1)
    new = np.full(len(chosen), np.nan)
    new[1:] = np.count_nonzero(chosen[1:] & ~chosen[:-1], axis=1) / size[1:]
    expected_new = np.full(len(chosen), np.nan)
    expected_new[1:] = 1 - size[:-1] / pool

    times = np.cumsum(chosen, axis=0, dtype=np.int32)  # with the selection itself
    distinct = np.count_nonzero(times, axis=1)
    expected_used = 1 - np.cumprod(1 - size / pool)

    share = expected_share = np.full(len(chosen), np.nan)
    if related is not None:
        share = np.count_nonzero(chosen[:, related], axis=1) / size
        expected_share = np.full(len(chosen), related.mean())
    return {
        "turnover": new,
        "expected_turnover": expected_new,
        "used": distinct / pool,
        "expected_used": expected_used,
        "distinct": distinct.astype(np.float64),
        "expected_distinct": pool * expected_used,
        "returns": (times * chosen).sum(axis=1) / size - 1,
        "expected_returns": (np.cumsum(size) - size) / pool,
        "related": share,
        "expected_related": expected_share,
    }


# ----------------------------------------------------------------------------- most selected
class _Counts:
    """How often each of a class's bags was chosen by a strategy, over seeds and epochs.

    times, selections : (B,) selections that chose the bag, and those with the bag in the pool
    place, score : (B,) sums over the selections that chose it, as in `Selections`
    """

    def __init__(self, n_bags: int):
        self.times, self.selections = (np.zeros(n_bags, dtype=np.int64) for _ in range(2))
        self.place, self.score = np.zeros(n_bags), np.zeros(n_bags)

    def add(self, chosen: Selections) -> None:
        self.times[chosen.pool] += np.count_nonzero(chosen.chosen, axis=0)
        self.selections[chosen.pool] += len(chosen.epoch)
        self.place[chosen.pool] += chosen.place
        self.score[chosen.pool] += chosen.score

    @property
    def scored(self) -> bool:
        """Whether the strategy scores what it chooses; one that does not says nothing of a bag."""
        return not np.isnan(self.score).any()

    def top(self, n: int) -> np.ndarray:
        """The n bags chosen most often, of those chosen at all, in order."""
        share = self.times / np.maximum(self.selections, 1)
        mean_place = self.place / np.maximum(self.times, 1)
        order = np.lexsort((mean_place, -self.times, -share))
        return order[: min(n, np.count_nonzero(self.times))]


def _most_selected(
    class_name: str, bags: ClassBags, counts: Mapping[str, _Counts], module: ModuleType
) -> tuple[list[dict], str]:
    """Rows of most_selected.csv of a class, and its section of selection.md."""
    link = getattr(module, "link", None)
    scored = {strategy: each for strategy, each in counts.items() if each.scored}
    rows = []
    for strategy, each in scored.items():
        for rank, row in enumerate(each.top(TOP).tolist(), start=1):
            labels = bags.clips["labels"][row] if bags.clips is not None else []
            rows.append(
                {
                    "class": class_name,
                    "strategy": strategy,
                    "rank": rank,
                    "draw": bags.draw[row],
                    "bag": bags.bag[row],
                    **_identity(bags, row, link),
                    "times": each.times[row],
                    "selections": each.selections[row],
                    "mean_place": each.place[row] / each.times[row],
                    "mean_score": each.score[row] / each.times[row],
                    "other_labels": LABEL_SEPARATOR.join(labels),
                    "related_labels": LABEL_SEPARATOR.join(
                        label for label in labels if label in (bags.related_classes or ())
                    ),
                }
            )
    pooled = _Counts(len(bags))
    for each in scored.values():
        pooled.times += each.times
        pooled.selections += each.selections
        pooled.place += each.place
    return rows, _class_section(class_name, bags, pooled, link)


def _identity(bags: ClassBags, row: int, link: Callable[[str, float], str] | None) -> dict:
    """id, start and link of a bag; empty where there is none."""
    if bags.clips is None:
        return {"id": "", "start": "", "link": ""}
    name, start = bags.clips["id"][row], float(bags.clips["start"][row])
    return {"id": name, "start": start, "link": link(name, start) if link else ""}


# ----------------------------------------------------------------------------- tables
def _long(
    frames: Sequence[Mapping], columns: Sequence[str], strategies: pd.CategoricalDtype
) -> pd.DataFrame:
    """One row for every epoch of every frame, whose other values are arrays (E,) or repeated."""
    if not frames:
        return pd.DataFrame(columns=list(columns), dtype=np.float64)
    table = pd.DataFrame(
        {
            column: np.concatenate(
                [np.broadcast_to(frame[column], frame["epoch"].shape) for frame in frames]
            )
            for column in columns
        }
    )
    return table.astype({name: strategies for name in columns if name.startswith("strategy")})


def _means(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means over classes and seeds at each epoch, and the number of them, as `columns`."""
    keys = columns[: columns.index("epoch") + 1]
    groups = table.groupby(keys, observed=True)
    return groups.mean(numeric_only=True).assign(n=groups.size()).reset_index()[columns]


# ----------------------------------------------------------------------------- for people
def _markdown(
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
        _table(
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
    return [text, _table(header, rows)]


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


def _class_section(
    class_name: str,
    bags: ClassBags,
    pooled: _Counts,
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
    identity = _identity(bags, row, link)
    if not identity["link"]:
        start = f" at {identity['start']:g} s" if identity["start"] else ""
        return escape(identity["id"]) + start
    # Once more, so that no sign ends the Markdown link early; quoted signs stay as they are.
    url = urllib.parse.quote(identity["link"], safe=":/?&=%#+,;@~")
    return f"[{escape(identity['id'])}]({url})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        f"| {' | '.join(text.ljust(width) for text, width in zip(row, widths, strict=True))} |"
        for row in (header, rule, *rows)
    )
