"""Labels that are partly unknown: results of methods, and what became of the labels.

A hidden label is one that training does not see and takes for negative. One model has an output
for each class, so that the noise of a seed is in all classes: intervals are over seeds, of the mean
over classes, or over classes, of the mean over seeds, and never over both at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from weakneg.analysis.intervals import mean_interval
from weakneg.analysis.metrics import METRICS
from weakneg.analysis.runs import classes_of, read_run
from weakneg.analysis.study import Study, Way
from weakneg.errors import UserError
from weakneg.io.hdf5 import open_file

ALL = "all"
"""The group of all classes."""

_FEWEST_CLASSES, _GROUPS = 10, 5  # that are divided; groups
_FATES = ("observed_positive", "observed_negative", "hidden_positive", "hidden_negative")
LOSSES = {
    "loss_observed_positive": "observed positives",
    "loss_hidden_positive": "hidden positives",
    "loss_hidden_negative": "hidden negatives",
}
"""Mean cross-entropy with the label that training assumes: measure -> the labels it is of."""

TREATMENT = {
    "treated": "hidden labels rejected or corrected",
    "precision": "precision: hidden positives among these",
    "recall": "recall: share of the hidden positives that is among these",
    "positives": "hidden positives among all hidden labels",
}
"""Shares of an epoch: measure -> what it is. What treats labels at random has `positives` as its
precision."""


class Record(NamedTuple):
    """What became of the labels of a training, epoch by epoch, see `weakneg.training.labels`.

    Attributes
    ----------
    strategy : str
        The method, under its name in results.
    seed : int
        The seed.
    epoch : ndarray, (E,)
        The epochs.
    entries, loss : ndarray, (E, 4, C)
        Number and mean loss of labels, by what they are.
    treated : ndarray, (E, 2, C)
        Number of hidden positives and negatives that the loss rejected or corrected.
    """

    strategy: str
    seed: int
    epoch: np.ndarray
    entries: np.ndarray
    loss: np.ndarray
    treated: np.ndarray


def read_records(runs: Sequence[tuple[str, Path]], study: Study) -> list[Record]:
    """Read what became of the labels of every run and seed.

    Parameters
    ----------
    runs : sequence of (str, Path)
        Strategy and folder of each run.
    study : Study
        The study; the classes of the records are its classes.

    Returns
    -------
    list of Record
        In the order of the runs.

    Raises
    ------
    UserError
        When a run or a file of it is missing or damaged.
    """
    found = []
    for strategy, folder in runs:
        path, again = folder / "selection.h5", "delete the folder, so that the next run trains it"
        run = read_run(folder)
        known = classes_of(run) or []
        if missing := [name for name in study.classes if name not in known]:
            raise UserError(f"{folder} holds no model of the class {missing[0]!r}: {again}.")
        columns = [known.index(name) for name in study.classes]
        with open_file(path, again) as file:
            try:
                for seed in run["settings"]["seeds"]:
                    group = file[f"seed_{seed}/labels"]
                    entries, loss, rejected, corrected = (
                        group[name][...][..., columns]
                        for name in ("entries", "loss", "rejected", "corrected")
                    )
                    epoch = group["epoch"][...]
                    found.append(Record(strategy, seed, epoch, entries, loss, rejected + corrected))
            except KeyError as error:
                raise UserError(f"{path} is incomplete ({error.args[0]}): {again}.") from None
    return found


def left_out(metrics: pd.DataFrame, study: Study) -> list[str]:
    """The classes that some run has no metrics of.

    They have no observed positive label, or not both labels among the test bags.

    Parameters
    ----------
    metrics : DataFrame
        The metrics of the study, as returned by `weakneg.analysis.metrics.select_study`.
    study : Study
        The study.
    """
    known = metrics[[*METRICS]].notna().all(axis=1).groupby(metrics["class"]).all()
    return [name for name in study.classes if not known[name]]


def groups_of_classes(metrics: pd.DataFrame, study: Study) -> dict[str, list[str]]:
    """The groups of classes whose means are reported; parameters as for `left_out`.

    Returns
    -------
    dict
        "all" -> the classes that are not left out; if these are ten or more, also "G1" to "G5": a
        fifth of them each, by the number of positive labels that the baseline sees, the rarest
        classes first.

    Raises
    ------
    UserError
        When all classes are left out.
    """
    sizes = observed_positives(metrics, study).drop(left_out(metrics, study))
    if sizes.empty:
        raise UserError(
            f"Study {study.name}: no class has an observed positive label, and both labels among"
            " the test bags, in every run; give it more training bags or more observed labels."
        )
    found = {ALL: [*sizes.index]}
    if len(sizes) >= _FEWEST_CLASSES:
        parts = np.array_split(sizes.sort_values(kind="stable").index.to_numpy(), _GROUPS)
        found |= {f"G{number}": part.tolist() for number, part in enumerate(parts, 1)}
    return found


def observed_positives(metrics: pd.DataFrame, study: Study) -> pd.Series:
    """The number of positive labels of each class that the baseline sees, mean over seeds.

    Parameters as for `left_out`.
    """
    of_baseline = metrics[metrics["strategy"] == study.baseline]
    return of_baseline.groupby("class", sort=False)["n_positive"].mean()


def results_by_method(
    metrics: pd.DataFrame, records: Sequence[Record], study: Study
) -> pd.DataFrame:
    """Metrics and cost of every method, averaged over the classes of each group.

    Parameters
    ----------
    metrics : DataFrame
        The metrics of the study, as returned by `weakneg.analysis.metrics.select_study`.
    records : sequence of Record
        What became of the labels.
    study : Study
        A study of many classes.

    Returns
    -------
    DataFrame
        A row for each metric, method, observed labels and group. Columns:

        - method, observed, group, metric, classes, seeds
        - positives_from, positives_to: the fewest and the most positive labels of a class of the
          group that the baseline sees
        - labels_observed, positives_observed: shares of the training labels, and of those that are
          positive, that the method sees
        - epochs, seconds: of the training of one model
        - mean, low, high: the mean over classes and its 95% interval over seeds
        - difference: from the baseline with the same observed labels; NaN where there is none
        - seeds_low, seeds_high: its 95% interval over seeds, of means over classes; NaN for 1 seed
        - classes_low, classes_high: its 95% interval over classes, of means over seeds; NaN for
          1 class

    Raises
    ------
    UserError
        When all classes are left out.
    """
    groups, sizes = groups_of_classes(metrics, study), observed_positives(metrics, study)
    costs = metrics.groupby("strategy")[["epochs", "seconds"]].mean()
    seen = _seen(records)
    baselines = baselines_of(study)
    places = {name: place for place, name in enumerate(study.classes)}
    rows = []
    for metric in METRICS:
        wide = metrics.pivot(index="class", columns=["strategy", "seed"], values=metric)
        wide = wide.reindex(study.classes)
        table = {name: wide[name].to_numpy() for name in study.strategies}  # (class, seed)
        for name in study.strategies:
            way = study.methods[name]
            baseline = baselines.get(way.observed)
            for group, classes in groups.items():
                of_group = [places[each] for each in classes]
                values = table[name][of_group]
                mean, low, high = mean_interval(values.mean(axis=0))
                row = {
                    "method": way.method,
                    "observed": way.observed,
                    "group": group,
                    "metric": metric,
                    "classes": len(classes),
                    "seeds": values.shape[1],
                    "positives_from": sizes[classes].min(),
                    "positives_to": sizes[classes].max(),
                    **seen[name],
                    **costs.loc[name],
                    "mean": mean,
                    "low": low,
                    "high": high,
                    **dict.fromkeys(("difference", *_BOUNDS), np.nan),
                }
                if baseline is not None and baseline != name:
                    difference = values - table[baseline][of_group]
                    row["difference"], *of_seeds = mean_interval(difference.mean(axis=0))
                    _, *of_classes = mean_interval(difference.mean(axis=1))
                    row |= dict(zip(_BOUNDS, of_seeds + of_classes, strict=True))
                rows.append(row)
    return pd.DataFrame(rows)


_BOUNDS = ("seeds_low", "seeds_high", "classes_low", "classes_high")


def levels(results: pd.DataFrame, study: Study) -> list[str]:
    """Observed labels, fewest first; none if all methods that compete see the same ones.

    Parameters
    ----------
    results : DataFrame
        See `results_by_method`.
    study : Study
        The study.
    """
    if results.loc[results["method"] != study.full_method, "observed"].nunique() < 2:
        return []
    ordered = results.sort_values(["labels_observed", "positives_observed"], kind="stable")
    return [*ordered["observed"].unique()]


def baselines_of(study: Study) -> dict[str, str]:
    """Observed labels -> the baseline that sees them."""
    method = study.methods[study.baseline].method
    return {
        study.methods[name].observed: name
        for name in study.strategies
        if study.methods[name].method == method
    }


def _seen(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Shares of the training labels that each strategy sees, in the first epoch of all seeds."""
    totals: dict[str, np.ndarray] = {}
    for record in records:
        of_seed = record.entries[0].sum(axis=-1).astype(np.int64)
        totals[record.strategy] = totals.get(record.strategy, 0) + of_seed
    return {
        strategy: {
            "labels_observed": float(of_all[:2].sum() / of_all.sum()),
            "positives_observed": float(_share(of_all[0], of_all[0] + of_all[2])),
        }
        for strategy, of_all in totals.items()
    }


def labels_by_epoch(
    records: Sequence[Record], groups: Mapping[str, Sequence[str]], study: Study
) -> pd.DataFrame:
    """What became of the labels of every method, epoch by epoch.

    Parameters
    ----------
    records : sequence of Record
        What became of the labels.
    groups : mapping
        Group -> its classes, see `groups_of_classes`. In place of "all", the labels of all classes
        are counted, as they are all trained on.
    study : Study
        A study of many classes.

    Returns
    -------
    DataFrame
        Columns method, observed, group, epoch, measure (`LOSSES`, and only for "all", or
        `TREATMENT`), mean, low, high and seeds: the share, or mean over all labels, of each seed,
        then its mean and 95% interval over the seeds that reached the epoch. There are no rows
        where there are no labels to take a measure of.
    """
    places = {name: place for place, name in enumerate(study.classes)}
    columns = {group: [places[name] for name in classes] for group, classes in groups.items()}
    columns[ALL] = [*places.values()]
    tables = []
    for record in records:
        for group, of_group in columns.items():
            table = pd.DataFrame(_measures(record, of_group, losses=group == ALL))
            table = table.assign(name=record.strategy, group=group, seed=record.seed)
            tables.append(table.assign(epoch=record.epoch))
    keys = ["name", "group", "epoch", "measure"]
    long = pd.concat(tables).melt([*keys[:3], "seed"], [*LOSSES, *TREATMENT], keys[3]).dropna()
    found = _over_seeds(long, keys)
    for place, part in enumerate(Way._fields):
        found.insert(place, part, [study.methods[name][place] for name in found["name"]])
    return found.drop(columns="name")


def _over_seeds(long: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean, interval and number of seeds of the column value, in order of appearance."""
    wide = long.pivot(index=keys, columns="seed", values="value")
    wide = wide.reindex(pd.MultiIndex.from_frame(long[keys].drop_duplicates()))
    n_seeds = wide.notna().sum(axis=1)
    parts = []
    for n, rows in wide.groupby(n_seeds):
        values = rows.to_numpy()
        mean, low, high = mean_interval(values[~np.isnan(values)].reshape(-1, n).T)
        bounds = {"mean": mean, "low": low, "high": high, "seeds": n}
        parts.append(pd.DataFrame(bounds, index=rows.index))
    return pd.concat(parts).reindex(wide.index).reset_index()


def _measures(record: Record, classes: Sequence[int], losses: bool) -> dict[str, np.ndarray]:
    """The measures (E,) of the labels of some classes; NaN where there are none."""
    entries, loss = (
        each[..., classes].astype(np.float64) for each in (record.entries, record.loss)
    )
    hidden, treated = entries[:, 2:].sum(axis=-1), record.treated[..., classes].sum(axis=-1)
    found = {
        "treated": _share(treated.sum(axis=1), hidden.sum(axis=1)),
        "precision": _share(treated[:, 0], treated.sum(axis=1)),
        "recall": _share(treated[:, 0], hidden[:, 0]),
        "positives": _share(hidden[:, 0], hidden.sum(axis=1)),
    }
    if losses:
        total = np.where(entries > 0, entries * loss, 0.0).sum(axis=-1)
        means = dict(zip(_FATES, _share(total, entries.sum(axis=-1)).T, strict=True))
        found |= {measure: means[measure.removeprefix("loss_")] for measure in LOSSES}
    return found


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """A part of a whole; NaN if the whole is nothing."""
    whole = np.asarray(whole, dtype=np.float64)
    share: np.ndarray = np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
    return share
