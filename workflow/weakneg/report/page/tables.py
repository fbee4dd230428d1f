"""The tables of the page: cells with the text that is shown and the value behind it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from weakneg.analysis.budget import DIFFERENCES
from weakneg.analysis.intervals import MEAN_OVER_CLASSES
from weakneg.analysis.metrics import METRICS
from weakneg.analysis.partial import ALL, LOSSES, left_out, observed_positives
from weakneg.analysis.runs import SECONDS
from weakneg.analysis.study import Study
from weakneg.errors import UserError
from weakneg.report import events_text
from weakneg.report.budget import WHOLE_POOL
from weakneg.report.formatting import (
    DASH,
    interval,
    number,
    p_value,
    percentage,
    plus_minus,
    seconds,
    signed_number,
)
from weakneg.report.pointing_text import MEASURES, by_chance, by_method

_MOST_CLASSES_AS_COLUMNS = 4
SUSPECTS = 20  # shown per class
MOST_SELECTED = 3  # shown per class and strategy
_TEXT = {
    *("class", "strategy", "same_as", "metric", "baseline", "verdict", "devices", "loss"),
    *("split", "id", "link", "other_labels", "related_labels", "measure"),
    *("method", "observed", "group"),
}


class Cell(NamedTuple):
    """A cell.

    Attributes
    ----------
    text : str
        What is shown.
    value : float or str
        What is sorted by and downloaded.
    note : str
        Small text after it.
    best : bool
        Whether it is the best of its column or row.
    link : str
        Where it leads to, or "".
    """

    text: str
    value: float | str
    note: str = ""
    best: bool = False
    link: str = ""


class Table(NamedTuple):
    """A table; the first cell of a row is its header.

    Attributes
    ----------
    name : str
        Name of the downloaded file.
    caption : str
        What it shows; where rows are shown by choice, the name of the class precedes it.
    header : list of str
        Titles of the columns.
    rows : list of lists of Cell
        The rows.
    of_class, of_strategy : list of str
        The class and strategy of each row, where rows are shown by choice; else empty.
    of_clip : list of (str, float)
        The id and start of the clip of each row, where rows are clips; else empty.
    """

    name: str
    caption: str
    header: list[str]
    rows: list[list[Cell]]
    of_class: Sequence[str] = ()
    of_strategy: Sequence[str] = ()
    of_clip: Sequence[tuple[str, float]] = ()

    @property
    def numeric(self) -> list[bool]:
        """Whether each column has numbers."""
        columns = zip(*self.rows, strict=True)
        return [any(not isinstance(cell.value, str) for cell in column) for column in columns]

    @property
    def parts(self) -> list[tuple[str, list[int]]]:
        """Class, and its rows by number, where rows are shown by choice; else a single part."""
        found: dict[str, list[int]] = {} if self.of_class else {"": [*range(len(self.rows))]}
        for index, class_name in enumerate(self.of_class):
            found.setdefault(class_name, []).append(index)
        return [*found.items()]


def read_tidy(path: Path) -> pd.DataFrame:
    """Read a table of results. Names stay text, so that classes named "NA" or "007" survive.

    Parameters
    ----------
    path : Path
        The CSV file.

    Returns
    -------
    DataFrame
        Its rows; an empty number is NaN.

    Raises
    ------
    UserError
        When it is missing or damaged.
    """
    try:
        columns = pd.read_csv(path, nrows=0).columns
        numbers = {name: [""] for name in columns if name not in _TEXT}
        text = {name: str for name in columns if name in _TEXT}
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=numbers)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: finish the study first.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it and run again.") from error


def names_of(study: Study) -> dict[str, str]:
    """Distinct strategy -> its name on the page, with those that share its run."""
    names = {strategy: study.joint_name(strategy) for strategy in study.distinct}
    shared = {name for name in names.values() if [*names.values()].count(name) > 1}
    return {s: f"{name} ({s})" if name in shared else name for s, name in names.items()}


def _text(value: str) -> Cell:
    return Cell(value, value)


def _count(value: float) -> Cell:
    return Cell(f"{value:,.0f}", value)


def _with_bounds(row: pd.Series, value: str, low: str, high: str) -> Cell:
    bounds = interval(row[low], row[high], signed_number).strip()
    return Cell(signed_number(row[value]), row[value], bounds)


# ---------------------------------------------------------------------------------------------
# Table 1


def table1(cells: pd.DataFrame, study: Study) -> list[Table]:
    """Table 1 of the paper, one for each metric: rows are strategies or, if many, classes.

    Parameters
    ----------
    cells : DataFrame
        The table table1.csv.
    study : Study
        The study.

    Returns
    -------
    list of Table
        A table for each of `METRICS`.
    """
    return [_table1(cells[cells["metric"] == metric], metric, study) for metric in METRICS]


def _table1(cells: pd.DataFrame, metric: str, study: Study) -> Table:
    by_key = cells.set_index(["class", "strategy"])
    names = names_of(study)
    classes = [MEAN_OVER_CLASSES, *study.classes] if len(study.classes) > 1 else study.classes
    competing = cells[cells["strategy"].isin(study.competitors)]
    best = competing.groupby("class")["mean"].max()

    def cell(class_name: str, strategy: str) -> Cell:
        row = by_key.loc[(class_name, strategy)]
        note = plus_minus(row["mean"], row["high"]).strip()
        if pd.notna(row["reference"]):
            note += f" (paper {number(row['reference']).removesuffix('0')})"
        is_best = strategy in study.competitors and row["mean"] == best[class_name]
        return Cell(number(row["mean"]), row["mean"], note.strip(), is_best)

    name, caption = f"table1_{metric}", METRICS[metric]
    if len(study.classes) <= _MOST_CLASSES_AS_COLUMNS:
        rows = [[_text(names[s]), *(cell(c, s) for c in classes)] for s in names]
        return Table(name, caption, ["Strategy", *map(_class_title, classes)], rows)
    sizes = cells.drop_duplicates("class").set_index("class")
    rows = [
        [
            _text(_class_title(c)),
            *(
                [_count(sizes.loc[c, "n_positive"]), _share(sizes.loc[c, "prevalence"])]
                if c != MEAN_OVER_CLASSES
                else [Cell("", ""), Cell("", "")]
            ),
            *(cell(c, s) for s in names),
        ]
        for c in classes
    ]
    return Table(name, caption, ["Class", "Positives", "Prevalence", *names.values()], rows)


def _class_title(name: str) -> str:
    return "Mean over classes" if name == MEAN_OVER_CLASSES else name


def _share(value: float) -> Cell:
    return Cell(percentage(value), value)


# ---------------------------------------------------------------------------------------------
# Comparisons and costs


def win_counts(comparisons: pd.DataFrame, study: Study) -> list[Table]:
    """The comparisons with the baseline, one table for each metric.

    Parameters
    ----------
    comparisons : DataFrame
        The table win_counts.csv.
    study : Study
        The study.

    Returns
    -------
    list of Table
        A table for each of `METRICS`.
    """
    names = names_of(study)
    header = ["Strategy", "Mean difference", "Better", "Tie", "Worse", "Wilcoxon p", "Holm"]
    header += ["Sign p", "Holm"]
    tables = []
    for metric, title in METRICS.items():
        rows = []
        for _, row in comparisons[comparisons["metric"] == metric].iterrows():
            upper = "upper bound" if row["strategy"] == study.upper_bound else ""
            several = row["seeds"] > 1
            rows.append(
                [
                    Cell(names[row["strategy"]], names[row["strategy"]], upper),
                    _with_bounds(row, "difference", "difference_low", "difference_high"),
                    *(
                        Cell(f"{row[kind]}", row[kind], f"({row[clear]} clear)" if several else "")
                        if clear in row
                        else Cell(f"{row[kind]}", row[kind])
                        for kind, clear in (
                            ("wins", "clear_wins"),
                            ("ties", ""),
                            ("losses", "clear_losses"),
                        )
                    ),
                    *(
                        Cell(p_value(row[p]), "" if pd.isna(row[p]) else row[p])
                        for p in ("wilcoxon_p", "wilcoxon_p_holm", "sign_p", "sign_p_holm")
                    ),
                ]
            )
        tables.append(Table(f"win_counts_{metric}", title, header, rows))
    return tables


def ranks(table: pd.DataFrame, study: Study) -> Table:
    """Average ranks over classes; the table is ranks.csv."""
    names = names_of(study)
    by_key = table.set_index(["metric", "strategy"])["average_rank"]
    rows = [
        [
            _text(names[s]),
            *(Cell(f"{by_key[metric, s]:.2f}", by_key[metric, s]) for metric in METRICS),
        ]
        for s in table.loc[table["metric"] == "ap", "strategy"]
    ]
    return Table(
        "ranks", "Average rank over classes; 1 is best.", ["Strategy", *METRICS.values()], rows
    )


def cost(table: pd.DataFrame, study: Study) -> Table:
    """Budget and cost; the table is cost.csv."""
    names = names_of(study)
    parts = [column.removeprefix("seconds_").capitalize() for column in SECONDS]
    header = ["Strategy", "AP", "Difference", "Bags trained on", "Seconds", *parts]
    older = "best_epoch" not in table  # results of older versions
    header += [] if older else ["Epoch kept", "Until then"]
    rows = [
        [
            _text(names[row["strategy"]]),
            Cell(number(row["ap"]), row["ap"]),
            _with_bounds(row, "difference", "difference_low", "difference_high"),
            _count(row["bags_trained"]),
            *(Cell(seconds(row[name]), row[name]) for name in ("seconds", *SECONDS)),
            *(
                []
                if older
                else [
                    Cell(f"{row['best_epoch']:.1f}", row["best_epoch"]),
                    Cell(seconds(row["seconds_to_best"]), row["seconds_to_best"]),
                ]
            ),
        ]
        for _, row in table.iterrows()
    ]
    return Table("cost", "Averages over classes and seeds.", header, rows)


def budget(table: pd.DataFrame, study: Study) -> list[Table]:
    """Results and cost of every budget, one for each metric; the table is budget.csv."""
    baseline = study.display_name(study.baseline)
    tables = []
    for metric, title in METRICS.items():
        rows = []
        for _, row in table[table["metric"] == metric].iterrows():
            whole = pd.isna(row["budget"])
            rows.append(
                [
                    _text(row["strategy"]),
                    Cell(WHOLE_POOL, "") if whole else Cell(f"{row['budget']:g}", row["budget"]),
                    _count(row["bags"]),
                    _count(row["steps"]),
                    Cell(seconds(row["seconds"]), row["seconds"]),
                    Cell(
                        number(row["mean"]),
                        row["mean"],
                        plus_minus(row["mean"], row["high"]).strip(),
                    ),
                    *(
                        Cell(DASH, "")
                        if pd.isna(row[name])
                        else _with_bounds(row, name, f"{name}_low", f"{name}_high")
                        for name in DIFFERENCES
                    ),
                ]
            )
        header = ["Strategy", "Budget", "Bags", "Steps", "Seconds", title]
        header += [f"From {baseline}", "From the full set"]
        tables.append(Table(f"budget_{metric}", title, header, rows))
    return tables


# ---------------------------------------------------------------------------------------------
# Many classes


def partial(table: pd.DataFrame, study: Study) -> list[Table]:
    """Results of every method, in groups of classes, one for each metric; from partial.csv."""
    baseline = study.methods[study.baseline].method
    upper = study.full_method
    groups = [*table["group"].unique()]
    tables = []
    for metric, title in METRICS.items():
        of_metric = table[table["metric"] == metric]
        compete = of_metric[of_metric["method"] != upper]
        best = compete.groupby(["observed", "group"])["mean"].max()
        rows = []
        for (method, observed), found in of_metric.groupby(["method", "observed"], sort=False):
            by_group = found.set_index("group")
            cells = [
                Cell(
                    number(mean := by_group.loc[group, "mean"]),
                    mean,
                    plus_minus(mean, by_group.loc[group, "high"]).strip() if group == ALL else "",
                    method != upper and mean == best[observed, group],
                )
                for group in groups
            ]
            row = by_group.loc[ALL]
            of_baseline = [Cell(DASH, "")] * 2
            if pd.notna(row["difference"]):
                of_baseline = [
                    Cell(
                        signed_number(row["difference"]),
                        row["difference"],
                        interval(row[f"{over}_low"], row[f"{over}_high"], signed_number).strip(),
                    )
                    for over in ("seeds", "classes")
                ]
            rows.append(
                [
                    Cell(method, method, "upper bound" if method == upper else ""),
                    _text(observed),
                    *cells,
                    *of_baseline,
                    Cell(f"{row['epochs']:.3g}", row["epochs"]),
                    Cell(seconds(row["seconds"]), row["seconds"]),
                ]
            )
        header = ["Method", "Labels observed", f"Mean {title}", *groups[1:]]
        header += [f"From {baseline}, over seeds", "Over classes", "Epochs", "Seconds"]
        tables.append(Table(f"partial_{metric}", f"Mean {title} over classes.", header, rows))
    return tables


def memory(table: pd.DataFrame) -> Table:
    """What was memorised, from `weakneg.report.partial.memorised`."""
    rows = [
        [
            _text(row["method"]),
            _text(row["observed"]),
            *(
                Cell(DASH, "")
                if pd.isna(row[measure])
                else Cell(number(row[measure]), row[measure])
                for measure in (*LOSSES, "highest")
            ),
            _count(row["epoch"]),
            _share(row["fall"]),
        ]
        for row in table.to_dict("records")
    ]
    header = ["Method", "Labels observed", *(name.capitalize() for name in LOSSES.values())]
    header += ["Highest of hidden positives", "At epoch", "Fall"]
    return Table("memorised", "Mean loss after the last epoch.", header, rows)


def treated(table: pd.DataFrame) -> Table:
    """What was rejected or corrected, from `weakneg.report.partial.treated_labels`."""
    shares = ("treated", "precision", "positives", "recall")
    rows = [
        [
            _text(row["method"]),
            _text(row["observed"]),
            _text(row["group"]),
            *(Cell(DASH, "") if pd.isna(row[name]) else _share(row[name]) for name in shares),
        ]
        for row in table.to_dict("records")
    ]
    header = ["Method", "Labels observed", "Classes", "Rejected or corrected", "Precision"]
    header += ["At random", "Recall"]
    return Table("treated", "Mean over the epochs in which labels are treated.", header, rows)


def pointing(table: pd.DataFrame, study: Study) -> Table:
    """The results of the pointing game, and those of chance; from pointing.csv."""
    rows = []
    for row in by_method(table).to_dict("records"):
        name = study.display_name(row["strategy"])
        cells = [Cell(name, name, "upper bound" if row["strategy"] == study.upper_bound else "")]
        for measure, write in MEASURES.items():
            half = row[f"{measure}_half"]
            note = "" if pd.isna(half) else f"± {write(half)}"
            cells.append(Cell(write(row[measure]), row[measure], note))
        rows.append(cells)
    chance = by_chance(table)
    cells = [Cell(write(chance[measure]), chance[measure]) for measure, write in MEASURES.items()]
    rows.append([_text("Chance"), *cells])
    return Table("pointing", "Mean over classes.", ["Method", "Pointing", "AP of instances"], rows)


def event_detection(table: pd.DataFrame, study: Study) -> Table:
    """The measures of event detection; from events.csv."""
    rows = []
    for strategy, results in events_text.by_method(table):
        name = study.display_name(strategy)
        cells = [Cell(name, name, "upper bound" if strategy == study.upper_bound else "")]
        for mean, high in results:
            cells.append(Cell(number(mean), mean, plus_minus(mean, high).strip()))
        rows.append(cells)
    everywhere = float(table["everywhere_f1"].iloc[0])
    unknown = [Cell(DASH, "") for _ in [*events_text.MEASURES][1:]]
    last = _text(events_text.EVERYWHERE.capitalize())
    rows.append([last, Cell(number(everywhere), everywhere), *unknown])
    return Table("events", "Mean over seeds.", events_text.HEADER, rows)


def single_classes(metrics: pd.DataFrame, study: Study) -> list[Table]:
    """Results of every class, one table for each metric; from metrics.csv.

    The methods are those that see the same labels as the baseline, and the upper bound.
    """
    seen = study.methods[study.baseline].observed
    shown = [
        name
        for name in study.strategies
        if study.methods[name].observed == seen or name == study.upper_bound
    ]
    positives, without = observed_positives(metrics, study), {*left_out(metrics, study)}
    tables = []
    for metric, title in METRICS.items():
        means = metrics.pivot_table(metric, "class", "strategy", sort=False)
        rows = [
            [
                _text(name),
                Cell(f"{positives[name]:,.4g}", positives[name]),
                *(Cell(number(value), value) for value in means.loc[name, shown]),
            ]
            for name in study.classes
            if name not in without
        ]
        header = ["Class", "Observed positives"]
        header += [study.methods[name].method for name in shown]
        tables.append(Table(f"classes_{metric}", f"{title}, mean over seeds.", header, rows))
    return tables


# ---------------------------------------------------------------------------------------------
# Labels


def hidden(table: pd.DataFrame) -> list[Table]:
    """AP, and its difference from the baseline, by share of hidden positives; from hidden.csv."""
    tables = []
    captions = {
        "ap": "Test AP",
        "ap_difference": "Difference in AP from the baseline at the same share",
    }
    for measure, caption in captions.items():
        found = table[table["measure"] == measure]
        shares = sorted(found["hidden"].unique())
        write = number if measure == "ap" else signed_number
        by_key = {(row["strategy"], row["loss"], row["hidden"]): row for _, row in found.iterrows()}
        rows = []
        for strategy, loss in dict.fromkeys((s, loss) for s, loss, _ in by_key):
            cells = [_text(strategy), _text(loss)]
            for share in shares:
                row = by_key.get((strategy, loss, share))
                if row is None or pd.isna(row["mean"]):
                    cells.append(Cell("", ""))
                    continue
                note = plus_minus(row["mean"], row["high"]).strip()
                cells.append(Cell(write(row["mean"]), row["mean"], note))
            rows.append(cells)
        header = ["Strategy", "Loss", *(f"{100 * share:g}% hidden" for share in shares)]
        tables.append(Table(f"hidden_{measure}", caption, header, rows))
    return tables


def heard(truth: pd.DataFrame, study: Study) -> Table:
    """Labels against what people heard, by class; from truth.csv."""
    counts = ["clips", "both", "only_labelled", "only_heard", "neither"]
    first = truth.drop_duplicates("class").set_index("class")
    rows = [
        [_text(name), *(_count(first.loc[name, count]) for count in counts)]
        for name in study.classes
        if name in first.index
    ]
    header = ["Class", *(count.replace("_", " ").capitalize() for count in counts)]
    caption = "Test clips by what their labels say and what people heard."
    return Table("truth", caption, header, rows)


def suspects(table: pd.DataFrame) -> Table:
    """Negatives that are probably positive, the first of each class; from suspects.csv."""
    table = table[table["rank"] <= SUSPECTS]
    has_heard = table["heard"].notna().any()
    rows = [
        [
            Cell(f"{row['rank']}", row["rank"]),
            _clip(row),
            Cell(f"{row['probability']:.2f}", row["probability"]),
            *([_text({1.0: "yes", 0.0: "no"}.get(row["heard"], ""))] if has_heard else []),
            _text(row["other_labels"].replace(";", "; ")),
        ]
        for _, row in table.iterrows()
    ]
    header = ["Rank", "Clip", "Score", *(["Heard"] if has_heard else []), "Its labels"]
    caption = f"the first {SUSPECTS} of suspects.csv"
    return Table("suspects", caption, header, rows, [*table["class"]], of_clip=_clips(table))


def most_selected(table: pd.DataFrame, study: Study) -> Table:
    """The negatives chosen most often by a strategy; from most_selected.csv."""
    names = names_of(study)
    table = table[(table["rank"] <= MOST_SELECTED) & table["strategy"].isin([*names])]
    rows = [
        [
            _text(names[row["strategy"]]),
            Cell(f"{row['rank']}", row["rank"]),
            _clip(row) if row["id"] else Cell(f"bag {row['bag']}", f"{row['bag']}"),
            Cell(percentage(row["times"] / row["selections"]), row["times"] / row["selections"]),
            _text(row["other_labels"].replace(";", "; ")),
        ]
        for _, row in table.iterrows()
    ]
    return Table(
        "most_selected",
        f"the first {MOST_SELECTED} of every strategy in most_selected.csv",
        ["Strategy", "Rank", "Bag", "Share of selections", "Its labels"],
        rows,
        of_class=[*table["class"]],
        of_strategy=[names[s] for s in table["strategy"]],
        of_clip=_clips(table) if (table["id"] != "").all() else (),
    )


def _clips(table: pd.DataFrame) -> list[tuple[str, float]]:
    return [*table[["id", "start"]].itertuples(index=False, name=None)]


def _clip(row: pd.Series) -> Cell:
    link = row["link"] if row["link"].startswith(("https://", "http://")) else ""
    return Cell(row["id"], row["id"], f"at {row['start']:g} s", link=link)


def acquired(table: pd.DataFrame) -> Table:
    """How many recordings of each class are available; from acquired.csv."""
    rows = [
        [
            _text(row["class"]),
            _text(row["split"]),
            _count(row["listed"]),
            _count(row["ok"]),
            _share(row["share"]),
        ]
        for _, row in table.iterrows()
    ]
    header = ["Class", "Split", "Listed", "Available", "Share"]
    return Table("acquired", "Recordings by class.", header, rows)


# ---------------------------------------------------------------------------------------------
# Configuration


def configuration(values: dict[str, object], paper: dict[str, object], paper_study: str) -> Table:
    """The configuration, and where it differs from the study closest to the paper's."""
    # A section that only one of them has is one row.
    values, paper = _by_section(values, paper), _by_section(paper, values)
    rows = []
    for key in sorted({*values} | {*paper}):
        here, there = (_shown(each.get(key)) for each in (values, paper))
        differs = here != there
        if here or differs:
            rows.append(
                [_text(key), Cell(here, here, best=differs), _text(there if differs else "")]
            )
    rows.sort(key=lambda row: not row[1].best)
    header = ["Key", "Here", f"In {paper_study}, where different"]
    return Table("configuration", "Those that differ come first.", header, rows)


def _by_section(values: dict[str, object], others: dict[str, object]) -> dict[str, object]:
    """Values, of which those in a section that the others do not have are one."""
    theirs = {key.partition(".")[0] for key, value in others.items() if "." in key}
    found: dict[str, object] = {}
    for key, value in values.items():
        section, dot, _ = key.partition(".")
        found |= {key: value} if section in theirs or not dot else {section: "as its file says"}
    return found


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):  # something with options
        options = [f"{key} {_shown(each)}" for key, each in value.items() if key != "name"]
        name = value.get("name", "")
        return f"{name} ({', '.join(options)})" if options else str(name)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
