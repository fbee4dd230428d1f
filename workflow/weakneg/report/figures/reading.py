"""The input of a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from weakneg.analysis.metrics import read_metrics, select_study
from weakneg.analysis.study import Study
from weakneg.errors import UserError


@dataclass(frozen=True, eq=False)
class Inputs:
    """The input of a figure; a file is read when it is first used.

    Attributes
    ----------
    study : Study
        The study.
    runs : sequence of (str, Path)
        Strategy and folder of each run, for all classes.
    files : mapping
        Option of `weakneg.report.figures.draw_figure` -> file, or None if it is not given.
    """

    study: Study
    runs: Sequence[tuple[str, Path]]
    files: Mapping[str, Path | None]

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The rows of the study, in its order."""
        return select_study(read_metrics(self.file("metrics")), self.study)

    def table(self, option: str) -> pd.DataFrame:
        """A table of an audit, by the option that names it: "overlap", "turnover", ..."""
        path = self.file(option)
        try:
            return pd.read_csv(path)
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; run the audit that writes it first.") from None

    def file(self, option: str) -> Path:
        """The file that an option names. Raises UserError when it is not given."""
        path = self.files[option]
        if path is None:
            raise UserError(f"this figure needs the option --{option.replace('_', '-')}: add it.")
        return path
