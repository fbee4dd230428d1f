"""What the page of a study shows."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from weakneg.analysis.comparison import detectable
from weakneg.analysis.intervals import CONFIDENCE
from weakneg.analysis.metrics import HANDFUL, METRICS, TIED, read_metrics, select_study
from weakneg.analysis.partial import ALL, LOSSES, TREATMENT, left_out, levels
from weakneg.analysis.runs import read_parquet, read_run
from weakneg.analysis.study import Study
from weakneg.config.report import PageSettings
from weakneg.errors import UserError
from weakneg.report import events_text, partial, pointing_text
from weakneg.report.budget import caption, whole_pools
from weakneg.report.figures.differences import axis_limit
from weakneg.report.figures.style import Style, styles, styles_of_methods
from weakneg.report.formatting import (
    bootstrap_phrase,
    measured_on,
    p_phrase,
    p_value,
    percentage,
    seeds_phrase,
)
from weakneg.report.page import charts, tables
from weakneg.report.page.answer import (
    Answer,
    answer,
    answer_of_budgets,
    answer_of_hidden,
    answer_of_methods,
)

_MOST_NAMED = 20  # classes
# Settings that are not those of a `Study`.
_OF_THE_PAGE = {"description", "configuration", "paper", "paper_study"}


class Page:
    """What the page of a study shows; its template reads the properties.

    Parameters
    ----------
    metrics : Path
        The metrics of all runs.
    files : mapping
        Name of a table -> its CSV file.
    settings : PageSettings
        The study as it is reported, and its configuration.
    """

    def __init__(self, metrics: Path, files: Mapping[str, Path], settings: PageSettings):
        self.settings = settings
        self.study = Study.of(settings.model_dump(exclude=_OF_THE_PAGE))
        self.metrics = select_study(read_metrics(metrics), self.study)
        self.n_seeds = self.metrics["seed"].nunique()
        self._files = files
        self._tables: dict[str, pd.DataFrame] = {}  # those that were read
        self.names = {} if self.is_grid else tables.names_of(self.study)

    @property
    def is_grid(self) -> bool:
        """Whether strategies are crossed with something, so that a row of the page is many runs."""
        return bool(self.study.hidden or self.study.budgets or self.study.methods)

    def _read(self, name: str) -> pd.DataFrame:
        if name not in self._files:
            raise UserError(
                f"The page of {self.study.name} needs its table {name}.csv: finish the study first."
            )
        if name not in self._tables:
            self._tables[name] = tables.read_tidy(self._files[name])
        return self._tables[name]

    def has(self, name: str) -> bool:
        """Whether the study has a table, with something in it."""
        return name in self._files and not self._read(name).empty

    # ------------------------------------------------------------------------- answer
    @cached_property
    def answer(self) -> Answer:
        """The answer in words."""
        if self.study.hidden:
            return answer_of_hidden(self._read("hidden"), self.study)
        if self.study.budgets:
            return answer_of_budgets(self._read("budget"), self.study)
        if self.study.methods:
            return answer_of_methods(self._read("partial"), self.study)
        if len(self._without_choice) == len(self.study.classes) and self.compares:
            return Answer(
                "Nothing is compared: every strategy trains on all negatives", self._whole_pools
            )
        of_mean, _ = detectable(self.metrics, self.study, "ap")
        return answer(self._comparisons, of_mean, self.study)

    @cached_property
    def _comparisons(self) -> pd.DataFrame:
        return self._read("win_counts")

    @property
    def seeds(self) -> str:
        """The number of seeds, in words."""
        return seeds_phrase(self.n_seeds)

    @property
    def summary(self) -> dict[str, Any]:
        """What the index of all studies shows of this one."""
        return {
            "name": self.study.name,
            "title": self.study.title,
            "description": self.settings.description,
            "headline": self.answer.headline,
            "sentences": self.answer.sentences,
            "facts": self.facts,
            "looks": self.looks.of_name,
        }

    @property
    def compares(self) -> bool:
        """Whether there is a strategy besides the baseline."""
        return not self.is_grid and len(self._comparisons) > 0

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The study in numbers."""
        if self.study.methods:
            return self._facts_of_methods
        sizes = self.metrics.drop_duplicates(["class", "seed"])
        with_budget = self.study.budgets or [self.study.baseline]
        budget = self.metrics[self.metrics["strategy"].isin([*with_budget])]
        return [
            ("Classes", f"{len(self.study.classes)}"),
            *(
                [("Strategies", f"{len(self.names)}")]
                if self.names
                else [("Combinations", f"{len(self.study.strategies)}")]
            ),
            ("Seeds", f"{self.n_seeds}"),
            ("Positive bags", _range(sizes["n_positive"])),
            ("Pool", _range(sizes["n_pool"])),
            ("Budget", _range(budget["budget"])),
            ("Test bags", _range(sizes["test_bags"])),
        ]

    @property
    def _facts_of_methods(self) -> list[tuple[str, str]]:
        seen = self.metrics[self.metrics["strategy"] == self.study.baseline]
        return [
            ("Classes", f"{len(self.study.classes)}"),
            ("Methods", f"{len(self.looks.names)}"),
            ("Seeds", f"{self.n_seeds}"),
            ("Observed positives of a class", _range(seen["n_positive"])),
            ("Test bags", _range(seen["test_bags"])),
        ]

    # ------------------------------------------------------------------------- tables
    @property
    def table1(self) -> list[tables.Table]:
        """Table 1 of the paper, by metric."""
        return tables.table1(self._read("table1"), self.study)

    @property
    def win_counts(self) -> list[tables.Table]:
        """The comparisons, by metric."""
        return tables.win_counts(self._comparisons, self.study)

    @property
    def bootstrap(self) -> str:
        """What the intervals of comparisons are over."""
        return bootstrap_phrase(len(self.study.classes), self.n_seeds)

    @property
    def ranks(self) -> tables.Table | None:
        """The average ranks, unless there is only one strategy."""
        found = self._read("ranks")
        return tables.ranks(found, self.study) if len(found) > 2 else None

    @property
    def friedman(self) -> str:
        """What the tests of the ranks say."""
        of_ap = self._read("ranks").query("metric == 'ap'").iloc[0]
        text = "Too few classes to tell which ranks differ significantly."
        if pd.notna(of_ap["critical_difference"]):
            text = (
                "Two strategies differ significantly if their ranks differ by"
                f" {of_ap['critical_difference']:.2f} or more (Nemenyi)."
            )
        if pd.isna(of_ap["friedman_p"]):
            return text
        return f"Friedman's test that all are equal by AP: {p_phrase(of_ap['friedman_p'])}. {text}"

    @property
    def cost(self) -> tables.Table:
        """The cost."""
        return tables.cost(self._read("cost"), self.study)

    @property
    def devices(self) -> str:
        """Where seconds were measured."""
        return measured_on(self.metrics["device"])

    @property
    def hidden(self) -> list[tables.Table]:
        """AP and differences by share of hidden positives."""
        return tables.hidden(self._read("hidden"))

    @property
    def budget(self) -> list[tables.Table]:
        """Results and cost of every budget, by metric."""
        return tables.budget(self._read("budget"), self.study)

    @property
    def budget_caption(self) -> str:
        """What the columns of these tables are."""
        return caption(self._read("budget"))

    @property
    def partial(self) -> list[tables.Table]:
        """Results and differences of every method, by metric."""
        return tables.partial(self._read("partial"), self.study)

    @property
    def partial_caption(self) -> str:
        """What the columns of these tables are."""
        results = self._read("partial")
        return f"{partial.what_is_seen(results)} Means {partial.caption(results, self.study)}"

    @property
    def memory(self) -> tables.Table | None:
        """What was memorised, where labels are hidden."""
        found = partial.memorised(self._read("partial_epochs"))
        return tables.memory(found) if len(found) else None

    @property
    def treated(self) -> tables.Table | None:
        """What was rejected or corrected, where something was."""
        found = partial.treated_labels(self._read("partial_epochs"))
        return tables.treated(found) if len(found) else None

    @property
    def pointing(self) -> tables.Table:
        """The results of the pointing game."""
        return tables.pointing(self._read("pointing"), self.study)

    @property
    def pointing_caption(self) -> str:
        """What is played, and with how many bags."""
        table = self._read("pointing")
        return f"{pointing_text.caption(table)} {pointing_text.bags_phrase(table)}"

    @property
    def event_detection(self) -> tables.Table:
        """The measures of event detection."""
        return tables.event_detection(self._read("events"), self.study)

    @property
    def event_caption(self) -> str:
        """What is measured, and on what."""
        return events_text.caption(self._read("events"))

    @property
    def single_classes(self) -> list[tables.Table]:
        """Results of every class and of the methods that see what the baseline does, by metric."""
        return tables.single_classes(self.metrics, self.study)

    @property
    def measures(self) -> dict[str, str]:
        """What is shown by epoch: measure -> what it is; what is memorised comes first."""
        losses = sorted(LOSSES.items(), key=lambda each: each[0] != "loss_hidden_positive")
        said = {name: f"loss of {text}" for name, text in losses} | TREATMENT
        epochs = self._read("partial_epochs")
        return {name: text for name, text in said.items() if (epochs["measure"] == name).any()}

    @property
    def groups(self) -> list[str]:
        """The groups of classes."""
        return [*self._read("partial")["group"].unique()]

    @property
    def heard(self) -> tables.Table:
        """Labels against listening."""
        return tables.heard(self._read("truth"), self.study)

    @property
    def suspects(self) -> tables.Table:
        """Negatives that are probably positive."""
        return tables.suspects(self._read("suspects"))

    @property
    def most_selected(self) -> tables.Table:
        """The negatives chosen most often."""
        return tables.most_selected(self._read("most_selected"), self.study)

    @property
    def acquired(self) -> tables.Table:
        """The recordings that are available."""
        return tables.acquired(self._read("acquired"))

    @property
    def configuration(self) -> tables.Table:
        """The configuration, and what differs from the paper's."""
        s = self.settings
        return tables.configuration(s.configuration, s.paper, s.paper_study)

    # ------------------------------------------------------------------------- left out
    @property
    def left_out(self) -> list[str]:
        """What results do not count, in sentences."""
        study, found = self.study, []
        if study.upper_bound in study.strategies and not self.is_grid:
            found.append(
                f"{study.display_name(study.upper_bound or '')} trains on all negatives, has no"
                " budget, and does not compete: no test is corrected for it."
            )
        shared = [names for names in study.distinct.values() if len(names) > 1]
        # At every budget, the same ones.
        found += dict.fromkeys(
            f"{' and '.join(map(study.display_name, names))} always choose the same bags in a model"
            " with two outcomes: they share their runs and count as one."
            for names in shared
            if not (study.hidden or study.methods)
        )
        found += whole_pools(self._read("budget")) if study.budgets else []
        if study.methods:
            without = left_out(self.metrics, study)
            found.append(partial.left_out_phrase(without, len(study.classes), _MOST_NAMED))
        unknown = self.metrics["test_unknown"].max()
        if unknown:
            found.append(
                f"Up to {unknown:,.0f} test bags per class have an unknown label: no metric counts"
                " them."
            )
        tied = self.metrics[TIED].max().max()
        if tied > HANDFUL:
            found.append(
                f"In some runs, up to {tied:,.0f} test bags share the highest or the lowest score,"
                " so that the model does not rank them."
            )
        if self.has("acquired"):
            table = self._read("acquired")
            lost = 1 - table["ok"].sum() / table["listed"].sum()
            if lost:
                found.append(
                    f"{percentage(lost)} of the labels in the list of recordings are on recordings"
                    " that are not available."
                )
        found += self._whole_pools
        if self.n_seeds == 1:
            found.append("With 1 seed, there are no intervals over seeds.")
        if len(study.classes) == 1:
            found.append("With 1 class, there are no tests over classes.")
        found.append(
            f"Classes are taken as independent, which holds only roughly where they share bags;"
            f" {100 * CONFIDENCE:g}% intervals are for one comparison each."
        )
        return found

    @cached_property
    def _whole_pools(self) -> list[str]:
        """A sentence if the budget of some classes is their pool; budgets have their own."""
        if self.is_grid:
            return []
        named = self._without_choice
        if not named:
            return []
        whose = (
            f"{len(named)} of {len(self.study.classes)} classes"
            if len(named) > 3
            else ", ".join(named)
        )
        return [
            f"The budget is the whole pool of {whose}: there, every strategy trains on all"
            " negatives, and differences are noise. Add negatives, or lower sampling:"
            " negatives_per_positive."
        ]

    @property
    def _without_choice(self) -> list[str]:
        """The classes whose budget is their pool, with every seed."""
        chosen = self.metrics[self.metrics["strategy"] != self.study.upper_bound]
        whole = (chosen["budget"] >= chosen["n_pool"]).groupby(chosen["class"], sort=False).all()
        return [*whole.index[whole]]

    # ------------------------------------------------------------------------- charts
    @property
    def others(self) -> list[str]:
        """The strategies that are compared with the baseline, the upper bound last."""
        return [name for name in self.looks.names if name != self.names[self.study.baseline]]

    @cached_property
    def looks(self) -> charts.Looks:
        """Colours and markers of the strategies, or methods."""
        if self.study.methods:
            return charts.Looks(styles_of_methods(self.study))
        study, given = self.study, styles(self.study)
        if study.hidden:
            names = {strategy: place.strategy for strategy, place in study.hidden.items()}
        else:
            last = [s for s in study.distinct if s == study.upper_bound]
            strategies = [*study.competitors, *last]
            names = {s: study.joint_name(s) if study.budgets else self.names[s] for s in strategies}
        # A strategy is in a grid more than once, and looks like its first place there.
        shown: dict[str, Style] = {}
        for strategy, name in names.items():
            shown.setdefault(name, given[strategy])
        return charts.Looks(shown)

    @property
    def levels(self) -> list[str]:
        """The observed labels that methods are drawn against; none: methods are rows."""
        return levels(self._read("partial"), self.study)

    @property
    def losses(self) -> list[str]:
        """The losses of a study that hides positives."""
        return [*dict.fromkeys(place.loss for place in self.study.hidden.values())]

    @cached_property
    def limit(self) -> tuple[float, bool]:
        """Where axes of differences end on both sides, and whether intervals are cut off there."""
        return axis_limit(self._read("differences"))

    @property
    def specifications(self) -> dict[str, charts.Spec]:
        """The charts by name."""
        study = self.study
        if study.hidden:
            return {"hidden": charts.hidden(self.looks, self.losses[0])}
        if study.budgets:
            return {"budget": charts.budget(self.looks)}
        if study.methods:
            return {
                "partial": charts.partial(self.looks, self.levels),
                "labels": charts.labels(self.looks, next(iter(self.measures))),
            }
        baseline, first = study.display_name(study.baseline), study.classes[0]
        found = {"seeds": charts.seeds(self.looks, first)}
        if self.compares:
            found |= {
                "overall": charts.overall(self.looks, baseline),
                "wins": charts.wins(self.looks, baseline, len(study.classes)),
                "class_differences": charts.class_differences(
                    self.looks, baseline, first, self.limit[0]
                ),
                "strategy_differences": charts.strategy_differences(
                    self.looks, baseline, self.others[0], len(study.classes), self.limit[0]
                ),
            }
        found["curves"] = charts.curves(self.looks, first, int(self.metrics["epochs"].max()))
        return found

    def data(self, curves: list[charts.Spec]) -> dict[str, list[charts.Spec]]:
        """The data of the charts by name."""
        if self.study.hidden:
            table = self._read("hidden")
            return {"hidden": charts.records(table[table["measure"] == "ap"])}
        if self.study.budgets:
            return {"budget": charts.records(self._read("budget"))}
        if self.study.methods:
            seen = self.study.methods[self.study.baseline].observed
            epochs = self._read("partial_epochs")
            epochs = epochs[epochs["group"].eq(ALL) & epochs["observed"].eq(seen)]
            return {
                name: charts.records(table.rename(columns={"method": "strategy"}))
                for name, table in {
                    "partial": self._read("partial"),
                    "labels": epochs.drop(columns=["group", "observed", "seeds"]),
                }.items()
            }
        runs = ["class", "strategy", "seed", *METRICS, "epochs", "best_epoch", "bags_trained"]
        cells = self._read("table1")
        found = {
            "runs": self._named(self.metrics[[*runs, "seconds"]]),
            "cells": self._named(
                cells[cells["metric"].isin([*METRICS]) & cells["class"].isin(self.study.classes)][
                    ["class", "strategy", "metric", "mean", "low", "high"]
                ]
            ),
            "curves": curves,
        }
        if self.compares:
            comparisons = self._comparisons.rename(
                columns={"difference_low": "low", "difference_high": "high"}
            ).assign(p=self._comparisons["wilcoxon_p_holm"].map(p_value))
            shown = ["strategy", "metric", "difference", "low", "high", "wins", "ties", "losses"]
            columns = ["strategy", "class", "metric", "difference", "low", "high", "n_positive"]
            found |= {
                "comparisons": self._named(comparisons[[*shown, "p"]]),
                "outcomes": self._named(charts.outcomes(self._comparisons)),
                "differences": self._named(self._read("differences")[columns]),
            }
        return found

    def _named(self, table: pd.DataFrame) -> list[charts.Spec]:
        """The rows of distinct strategies, under their names on the page."""
        table = table[table["strategy"].isin([*self.names])]
        return charts.records(table.assign(strategy=table["strategy"].map(self.names)))

    def curves(self, runs: Sequence[tuple[str, Path]]) -> list[charts.Spec]:
        """Validation AP over the epochs of every run; none in a grid."""
        found = []
        for strategy, folder in runs:
            if strategy not in self.names:
                continue
            history = read_parquet(folder / "history.parquet").sort_values(["seed", "epoch"])
            class_name = read_run(folder)["class"]
            for seed, of_seed in history.groupby("seed"):
                found.append(
                    {
                        "class": class_name,
                        "strategy": self.names[strategy],
                        "seed": seed,
                        "epoch": of_seed["epoch"].tolist(),
                        "ap": of_seed["validation_ap"].round(4).tolist(),
                    }
                )
        return found


def made_with(
    metrics: pd.DataFrame,
    runs: Sequence[tuple[str, Path]],
    provenance: Mapping[str, Any] | None,
) -> list[tuple[str, str]]:
    """Where and with what the results were made, as terms and texts."""
    found: dict[str, set[str]] = {"Machine": {*metrics["device"]}}
    for _, folder in runs:
        for made_with in read_run(folder)["made_with"].values():
            for key, value in made_with.items():
                if key != "device":
                    found.setdefault(key, set()).add(str(value))
    pairs = [(term, ", ".join(sorted(values))) for term, values in found.items()]
    pairs += [
        (key.replace("_", " ").capitalize(), str(provenance[key]))
        for key in ("commit", "wall_time", "training_hours")
        if provenance and key in provenance
    ]
    for part in (provenance or {}).get("versions", []):
        pairs += [*part.items()]
    fingerprints = metrics.groupby("strategy", sort=False)["fingerprint"].unique()
    if len(fingerprints) <= 30:
        texts = [f"{strategy} {', '.join(each)}" for strategy, each in fingerprints.items()]
        pairs.append(("Fingerprints of the code", "; ".join(texts)))
    return pairs


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
