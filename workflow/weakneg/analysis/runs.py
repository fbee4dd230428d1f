"""What a run left behind: its record, histories and tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from weakneg.analysis.study import Study
from weakneg.errors import UserError

SECONDS = ["seconds_scoring", "seconds_selecting", "seconds_training", "seconds_evaluating"]


def read_run(run_folder: str | Path) -> dict[str, Any]:
    """Read a run's `run.json`; UserError when it is missing, broken or lacks a key."""
    path = Path(run_folder) / "run.json"
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; train this run first.") from None
    except json.JSONDecodeError:
        raise UserError(
            f"{path} is not JSON; delete the folder and train this run again."
        ) from None
    for key in ("class", "strategy", "fingerprint", *BY_SEED):
        if key not in run:
            raise UserError(f"{path} has no key {key!r}; train this run again.")
    return run


def read_epochs(run_folder: str | Path) -> pd.DataFrame:
    """Read a run's history, in order of seed and epoch, with the seconds each epoch took.

    `seconds` is that epoch's scoring, selecting, training and evaluating together; each of them has
    a column of its own, `SECONDS`. Raises UserError when a file is missing or when history and
    timing hold different epochs.
    """
    folder = Path(run_folder)
    history = read_parquet(folder / "history.parquet").sort_values(["seed", "epoch"])
    timing = read_parquet(folder / "timing.parquet").sort_values(["seed", "epoch"])
    keys = ["seed", "epoch"]
    if not np.array_equal(history[keys].to_numpy(), timing[keys].to_numpy()):
        raise UserError(
            f"{folder}: history.parquet and timing.parquet hold different seeds or epochs;"
            " delete the folder and train this run again."
        )
    seconds = timing[SECONDS].reset_index(drop=True)
    return history.reset_index(drop=True).assign(seconds=seconds.sum(axis=1), **seconds)


COUNTS = ("n_positive", "n_pool", "budget")
BY_SEED = (*COUNTS, "made_with", "thresholds")


def read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; train this run first.") from None
    except ValueError as error:  # of pyarrow, whatever the damage
        raise UserError(f"{path} is damaged ({error}): delete it and run again.") from error


class Run(NamedTuple):
    """What run.json says of a run."""

    folder: Path
    seeds: list[int]
    n_pool: dict[int, int]  # by seed
    warmup_epochs: int
    candidate_fraction: float
    validation_fraction: float
    draw_per_seed: bool


def runs_of_classes(
    pairs: Sequence[tuple[str, str | Path]], study: Study
) -> dict[str, dict[str, Run]]:
    """Class -> distinct strategy -> its run, in the study's order."""
    found = {}
    for strategy, folder in pairs:
        record = read_run(folder)
        try:
            settings = record["settings"]
            run = Run(
                folder=Path(folder),
                seeds=settings["seeds"],
                n_pool={int(seed): n for seed, n in record["n_pool"].items()},
                warmup_epochs=settings["sampling"]["warmup_epochs"],
                candidate_fraction=settings["sampling"]["candidate_fraction"],
                validation_fraction=settings["training"]["validation_fraction"],
                draw_per_seed=settings["draw_per_seed"],
            )
        except KeyError as error:
            raise UserError(
                f"{Path(folder) / 'run.json'} has no key {error}; train this run again."
            ) from None
        found[record["class"], strategy] = run
    for class_name in study.classes:
        for strategy in study.distinct:
            if (class_name, strategy) not in found:
                raise UserError(
                    f"Study {study.name}: no run folder holds class {class_name!r} and strategy"
                    f" {strategy!r}; name the folders of all runs."
                )
    return {
        class_name: {s: found[class_name, s] for s in study.distinct}
        for class_name in study.classes
    }
