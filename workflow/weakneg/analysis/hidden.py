"""What became of hidden positives: how many were chosen, doubted and memorised.

A hidden positive is a positive training bag that is labelled negative, so that it lies in the pool
as a missing label does: a false negative.
"""

from collections.abc import Mapping

import h5py
import numpy as np
import pandas as pd

from weakneg.analysis.intervals import mean_interval
from weakneg.analysis.runs import Run
from weakneg.analysis.study import Study
from weakneg.errors import UserError
from weakneg.io.hdf5 import open_file

MEASURES = ["in_pool", "in_chosen", "loss_true", "loss_hidden", "doubted", "precision", "recall"]
"""Of an epoch: share of hidden positives in the pool and among the chosen bags; mean cross-entropy
of the other negatives and of the hidden positives trained on, both as negatives; share of the
negatives trained on that the loss rejected or corrected; share of hidden positives among these
(precision), and share of the hidden positives trained on that are among them (recall)."""


def epochs_of_run(run: Run) -> pd.DataFrame:
    """The measures of every seed and epoch of a run.

    Parameters
    ----------
    run : Run
        The run, one of a study that hides positives.

    Returns
    -------
    DataFrame
        Columns seed, epoch and `MEASURES`; NaN where a measure has no bags to be taken over.

    Raises
    ------
    UserError
        When selection.h5 is missing or damaged.
    """
    path = run.folder / "selection.h5"
    again = "delete the folder, so that the next run trains it again"
    with open_file(path, again) as file:
        try:
            return pd.concat(
                [
                    _epochs_of_seed(
                        file[f"seed_{seed}"], run.n_pool[seed], run.warmup_epochs
                    ).assign(seed=seed)
                    for seed in run.seeds
                ],
                ignore_index=True,
            )
        except KeyError as error:
            raise UserError(f"{path} is incomplete ({error.args[0]}): {again}.") from None


def _epochs_of_seed(seed: h5py.Group, n_pool: int, warmup: int) -> pd.DataFrame:
    hidden = seed["hidden"][...] if "hidden" in seed else np.empty(0, np.int64)
    chosen_at = dict(zip(seed["epoch"][...].tolist(), seed["bags"][...], strict=True))
    trained = seed.get("trained")
    if trained is None:  # nothing was hidden and nothing could be doubted
        epochs = sorted(chosen_at)
        return pd.DataFrame({"epoch": epochs, "in_pool": 0.0, "in_chosen": 0.0})
    rows = []
    chosen = np.empty(0)
    for epoch, bags, logits, treatment in zip(
        *(trained[name][...] for name in ("epoch", "bags", "logits", "treatment")), strict=True
    ):
        chosen = chosen_at.get(int(epoch), chosen)  # those of the last selection stay in use
        known = bags >= 0
        is_hidden = np.isin(bags[known], hidden)
        of_strategy = chosen[chosen >= 0] if epoch > warmup else np.empty(0)
        loss = np.logaddexp(0, logits[known].astype(np.float64))
        doubted = treatment[known] != 0
        rows.append(
            {
                "epoch": int(epoch),
                "in_pool": len(hidden) / n_pool,
                "in_chosen": _mean(np.isin(of_strategy, hidden)),
                "loss_true": _mean(loss[~is_hidden]),
                "loss_hidden": _mean(loss[is_hidden]),
                "doubted": _mean(doubted),
                "precision": _mean(is_hidden[doubted]),
                "recall": _mean(doubted[is_hidden]),
            }
        )
    return pd.DataFrame(rows)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def measures_by_epoch(runs: Mapping[str, Mapping[str, Run]], study: Study) -> pd.DataFrame:
    """The measures of every entry of the grid, averaged over classes.

    Parameters
    ----------
    runs : mapping
        Class -> strategy -> run, see `weakneg.analysis.runs.runs_of_classes`.
    study : Study
        The study.

    Returns
    -------
    DataFrame
        Columns strategy, loss, hidden, epoch, measure, mean, low, high and seeds: the mean over
        classes and its 95% interval over seeds, of the seeds that reached the epoch.
    """
    tables = []
    for of_class in runs.values():
        for strategy, run in of_class.items():
            table = epochs_of_run(run)
            tables += [table.assign(name=name) for name in study.distinct[strategy]]
    measured = pd.concat(tables).reindex(columns=["name", "seed", "epoch", *MEASURES])
    long = measured.melt(["name", "seed", "epoch"], MEASURES, "measure").dropna()
    by_seed = long.groupby(["name", "epoch", "measure", "seed"], sort=False)["value"].mean()
    return _over_seeds(by_seed, ["name", "epoch", "measure"], study)


def metrics_by_share(metrics: pd.DataFrame, study: Study) -> pd.DataFrame:
    """AP and ROC-AUC of every entry of the grid, and its difference from the baseline.

    The baseline has the study's usual loss and the same share of hidden positives. There is no
    difference where it was left out of the study.

    Parameters
    ----------
    metrics : DataFrame
        The metrics of the study.
    study : Study
        The study.

    Returns
    -------
    DataFrame
        Columns strategy, loss, hidden, measure (ap, roc_auc, and their differences
        ap_difference and roc_auc_difference), mean, low, high and seeds: the mean over classes and
        its 95% interval over seeds.
    """
    by_seed = metrics.groupby(["strategy", "seed"], sort=False)[["ap", "roc_auc"]].mean()
    baselines = {
        place.share: name
        for name, place in study.hidden.items()
        if (place.strategy, place.loss) == baseline_of(study)
    }
    same_share = pd.MultiIndex.from_tuples(
        [(baselines.get(study.hidden[name].share), seed) for name, seed in by_seed.index]
    )
    for metric in ("ap", "roc_auc"):
        of_baseline = by_seed[metric].reindex(same_share).to_numpy()
        by_seed[f"{metric}_difference"] = by_seed[metric] - of_baseline
    long = by_seed.rename_axis(["name", "seed"]).melt(var_name="measure", ignore_index=False)
    values = long.dropna().set_index("measure", append=True)["value"]
    return _over_seeds(values, ["name", "measure"], study)


def baseline_of(study: Study) -> tuple[str, str]:
    """The names of the baseline and of the study's usual loss."""
    place = study.hidden[study.baseline]
    return place.strategy, place.loss


def _over_seeds(values: pd.Series, keys: list[str], study: Study) -> pd.DataFrame:
    rows = []
    for key, of_seeds in values.groupby(keys, sort=False):
        place = study.hidden[key[0]]
        mean, low, high = mean_interval(of_seeds.to_numpy())
        others = dict(zip(keys[1:], key[1:], strict=True))
        interval = {"mean": mean, "low": low, "high": high, "seeds": len(of_seeds)}
        names = {"strategy": place.strategy, "loss": place.loss, "hidden": place.share}
        rows.append(names | others | interval)
    return pd.DataFrame(rows)
