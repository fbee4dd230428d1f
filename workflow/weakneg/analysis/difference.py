"""Differences between two folders of results: `python -m weakneg diff`."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from weakneg.analysis.metrics import METRICS, MORE_METRICS, read_metrics
from weakneg.errors import UserError
from weakneg.stages import command

_KEY = ["class", "strategy", "seed"]
_COUNTS = [
    *("n_positive", "n_pool", "budget", "epochs", "best_epoch", "bags_trained"),
    *("test_positive", "test_bags", "test_unknown"),
]
_COMPARED = [*METRICS, *MORE_METRICS, *_COUNTS]
_MOST_SHOWN = 10


class Incomparable(UserError):
    """Results that cannot be read. The program then exits with 2, like `diff` of Unix."""

    status = 2


@command
def diff(before: Path, now: Path, /, tolerance: float = 0.0) -> int:
    """List the metrics that differ between two results; exit with 1 if any does, 2 for bad input.

    Times, device and fingerprint differ between machines or commits, and are not compared.

    Parameters
    ----------
    before, now : Path
        A folder of results, with a folder for each study, the folder of one study, or a
        metrics.csv.
    tolerance : float
        Largest difference between two metrics that count as equal. Counts (of bags, of epochs) are
        always compared exactly.

    Returns
    -------
    int
        1 if a metric differs, else 0.

    Raises
    ------
    Incomparable
        When a file cannot be read, or a class, strategy and seed occur more than once.
    """
    try:
        text = differences(before, now, tolerance)
    except UserError as error:
        raise Incomparable(str(error)) from error
    if text:
        print(text)
    return int(bool(text))


def differences(before: Path, now: Path, tolerance: float = 0.0) -> str:
    """The text that `diff` prints; "" if no metric differs.

    Parameters
    ----------
    before, now, tolerance
        As for `diff`.
    """
    files = [_metrics_files(path) for path in (before, now)]
    if all(len(found) == 1 for found in files):  # one study, whatever its folder is called
        files = [{"": path} for found in files for path in found.values()]
    lines = []
    for study in sorted(files[0].keys() | files[1].keys()):
        old, new = (found.get(study) for found in files)
        if old is None or new is None:
            lines.append(f"{study}: only in {before if new is None else now}")
            continue
        found = _of_study(old, new, tolerance)
        lines += [f"{study}:", *found] if study and found else found
    return "\n".join(lines)


def _metrics_files(path: Path) -> dict[str, Path]:
    """Name of a study -> its metrics.csv."""
    if path.is_file():
        return {path.parent.name: path}
    found = (
        [path / "metrics.csv"] if (path / "metrics.csv").exists() else path.glob("*/metrics.csv")
    )
    files = {file.parent.name: file for file in found}
    if not files:
        raise UserError(f"there is no metrics.csv in {path} or in a folder in it.")
    return files


def _read(path: Path) -> pd.DataFrame:
    metrics = read_metrics(path, needed=(*_KEY, *METRICS))
    twice = metrics[metrics.duplicated(_KEY)]
    if len(twice):
        raise UserError(f"{path}: {_row(twice.iloc[0][_KEY])} occurs more than once.")
    return metrics.set_index(_KEY)


def _row(key: Iterable[object]) -> str:
    class_name, strategy, seed = key
    return f"{class_name}, {strategy}, seed {seed}"


def _of_study(old_path: Path, new_path: Path, tolerance: float) -> list[str]:
    """The lines about one study; none if no metric differs."""
    before, now = _read(old_path), _read(new_path)
    lines = []
    for name, frame, other in ((old_path, before, now), (new_path, now, before)):
        alone = frame.index.difference(other.index, sort=False)
        lines += _shortened([f"only in {name}: {_row(key)}" for key in alone])
    both = before.index.intersection(now.index, sort=False)
    # Columns may differ between commits.
    columns = [name for name in _COMPARED if name in before and name in now]
    old, new = (
        frame.loc[both, columns].apply(pd.to_numeric, errors="coerce") for frame in (before, now)
    )
    change = (new - old).mask(old.isna() & new.isna(), 0.0)
    limit = pd.Series({name: 0.0 if name in _COUNTS else tolerance for name in columns})
    moved = ~(change.abs() <= limit)  # a NaN on one side only is a difference
    rows = moved.any(axis=1)
    if not rows.any():
        return lines
    lines.append(f"{rows.sum()} of {len(both)} rows changed (now - before):")
    lines += _shortened(
        [
            f"  {_row(key)}: {', '.join(_moves(change.loc[key], moved.loc[key]))}"
            for key in both[rows]
        ]
    )
    lines.append("mean and largest change per strategy:")
    for strategy, of in change[rows].groupby(level="strategy", sort=False):
        total = change.xs(strategy, level="strategy")
        words = [
            f"{label} {_signed(total[metric].mean())} (largest {_signed(_largest(of[metric]))})"
            for metric, label in METRICS.items()
        ]
        lines.append(f"  {strategy}, {len(of)} of {len(total)} rows: {', '.join(words)}")
    return lines


def _moves(change: pd.Series, moved: pd.Series) -> list[str]:
    return [
        f"{METRICS.get(name, name)} " + (f"{value:+.0f}" if name in _COUNTS else _signed(value))
        for name, value in change[moved].items()
    ]


def _signed(value: float) -> str:
    """The value as "+0.0120", or as "+2e-07" if it would round to zero."""
    if not np.isfinite(value):
        return "missing on one side"
    return f"{value:+.4f}" if abs(value) >= 5e-5 or value == 0 else f"{value:+.0e}"


def _largest(values: pd.Series) -> float:
    return values.loc[values.abs().idxmax()] if values.notna().any() else float("nan")


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_SHOWN
    return [*lines[:_MOST_SHOWN], f"  and {more} more"] if more > 0 else lines
