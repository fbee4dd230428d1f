"""The files of a run: its record, its history and its scores."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from weakneg.analysis.study import Study
from weakneg.errors import UserError
from weakneg.io.files import unreadable

SECONDS = ["seconds_scoring", "seconds_selecting", "seconds_training", "seconds_evaluating"]


def read_run(run_folder: str | Path) -> dict[str, Any]:
    """Read the `run.json` of a run.

    Parameters
    ----------
    run_folder : str or Path
        Folder of the run.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    UserError
        When the file is missing or damaged, or lacks a key.
    """
    path = Path(run_folder) / "run.json"
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; train this run first.") from None
    except json.JSONDecodeError:
        raise UserError(
            f"{path} is not JSON; delete the folder and train this run again."
        ) from None
    of_many = {"thresholds"} if classes_of(run) else {}  # which they do not have
    for key in ("class", "strategy", "fingerprint", *BY_SEED):
        if key not in run and key not in of_many:
            raise UserError(f"{path} has no key {key!r}; train this run again.")
    return run


def classes_of(run: dict[str, Any]) -> list[str] | None:
    """The classes of a model of many, as its record says; None for a model of one class."""
    classes: list[str] | None = run.get("settings", {}).get("classes")
    return classes


def read_epochs(run_folder: str | Path) -> pd.DataFrame:
    """Read the history of a run, with the seconds that each epoch took.

    Parameters
    ----------
    run_folder : str or Path
        Folder of the run.

    Returns
    -------
    DataFrame
        One row per seed and epoch, in this order: the columns of history.parquet, those of
        timing.parquet, `SECONDS`, and their sum, seconds.

    Raises
    ------
    UserError
        When a file is missing, or when history and timing hold different epochs.
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
    """Read a table of a run. Raises UserError when it is missing or damaged."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; train this run first.") from None
    except PermissionError as error:
        raise unreadable(path, error, "run again") from error
    except ValueError as error:  # raised by pyarrow for any damage
        raise UserError(f"{path} is damaged ({error}): delete it and run again.") from error


class Run(NamedTuple):
    """The settings of a run that the audit needs, from its run.json.

    Attributes
    ----------
    folder : Path
        Folder of the run.
    seeds : list of int
        Its seeds.
    n_pool : dict
        Seed -> number of bags in the pool.
    warmup_epochs : int
        Epochs at the start with random selections.
    candidate_fraction, validation_fraction : float
        Shares of the pool to choose from, and of the bags held out for validation.
    draw_per_seed : bool
        Whether each seed has its own draw of bags.
    """

    folder: Path
    seeds: list[int]
    n_pool: dict[int, int]
    warmup_epochs: int
    candidate_fraction: float
    validation_fraction: float
    draw_per_seed: bool


def runs_of_classes(
    pairs: Sequence[tuple[str, str | Path]], study: Study
) -> dict[str, dict[str, Run]]:
    """Read the record of every run of a study.

    Parameters
    ----------
    pairs : sequence of (str, str or Path)
        Strategy and folder of each run.
    study : Study
        The study.

    Returns
    -------
    dict
        Class -> distinct strategy -> its run, in the study's order.

    Raises
    ------
    UserError
        When a run is missing, or its record lacks a key.
    """
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
