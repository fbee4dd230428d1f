"""What figures show, read from files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from weakneg.analysis.metrics import read_metrics, select_study
from weakneg.analysis.study import Study
from weakneg.analysis.truth import read_judged
from weakneg.errors import UserError

_AS_FILES = ("recordings", "train_store", "test_store", "problems")


def read_inputs(
    names: Sequence[str],
    study: Study,
    runs: Sequence[tuple[str, Path]],
    files: Mapping[str, Path | None],
) -> dict[str, Any]:
    """Read what a figure shows.

    Parameters
    ----------
    names : sequence of str
        Names of what it shows: see `weakneg.report.figures.inputs`.
    study : Study
        The study.
    runs : sequence of (str, Path)
        Strategy and folder of each run, for all classes.
    files : mapping
        Option of `weakneg.report.figures.draw_figure` -> file, or None if it is not given.

    Returns
    -------
    dict
        Tables by name; feature stores and what belongs to them are left to the figure, as files.

    Raises
    ------
    UserError
        When a file is not given, missing or damaged.
    """
    found: dict[str, Any] = {}
    for name in names:
        if name == "runs":
            found[name] = runs
            continue
        path = files[name]
        if path is None:
            raise UserError(f"this figure needs the option --{name.replace('_', '-')}: add it.")
        if name in _AS_FILES:
            found[name] = path
        elif name == "metrics":
            found[name] = select_study(read_metrics(path), study)
        elif name == "truth":
            found[name] = read_judged(path)
        else:
            found[name] = _read_table(path)
    return found


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the audit that writes it first.") from None
