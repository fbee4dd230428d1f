"""What figures are drawn from."""

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
    """What a figure is drawn from; a file is read when it is first asked for.

    Attributes
    ----------
    study : Study
        The study that is drawn.
    runs : list of (str, Path)
        Its strategies and the folders of their runs, those of all classes.
    files : mapping
        Option of `weakneg.report.figures.draw_figure` -> file, or None where none is given.
    """

    study: Study
    runs: Sequence[tuple[str, Path]]
    files: Mapping[str, Path | None]

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The rows of the study, in its order."""
        return select_study(read_metrics(self.file("metrics")), self.study)

    @cached_property
    def overlap(self) -> pd.DataFrame:
        """The table selection_overlap of the audit."""
        return self._table_of_audit("overlap")

    @cached_property
    def turnover(self) -> pd.DataFrame:
        """The table selection_turnover of the audit."""
        return self._table_of_audit("turnover")

    def file(self, option: str) -> Path:
        """The file that an option names. Raises UserError when it names none."""
        path = self.files[option]
        if path is None:
            raise UserError(f"this figure needs a file: name it with --{option.replace('_', '-')}.")
        return path

    def _table_of_audit(self, option: str) -> pd.DataFrame:
        path = self.file(option)
        try:
            return pd.read_csv(path)
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; run the audit stage first.") from None
