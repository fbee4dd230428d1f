"""Trained models in Python: `weakneg.load(results).predict(recordings)`."""

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from weakneg.errors import UserError
from weakneg.inference.predict import columns_of, find_recordings, score_recordings
from weakneg.inference.trained import MODEL_FILE, TrainedModel, read_models
from weakneg.inference.unfinished import Tables
from weakneg.jobs.device import prepare

if TYPE_CHECKING:
    import pandas as pd

_PathLike = str | os.PathLike[str]
_NUMBERS = ("start", "end", "channel", "score")


class Models:
    """Trained models of sound, all with the same spectrograms or embeddings. Made by `load`.

    Attributes
    ----------
    models : list of TrainedModel
        The models.
    threads : int
        CPU threads that `predict` uses.
    """

    def __init__(self, models: list[TrainedModel], threads: int) -> None:
        self.models, self.threads = models, threads

    def __repr__(self) -> str:
        return f"Models({', '.join('/'.join(model.name) for model in self.models)})"

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the models."""
        return list(dict.fromkeys(model.class_name for model in self.models))

    def predict(
        self, recordings: _PathLike | Iterable[_PathLike], tail: bool = True
    ) -> "pd.DataFrame":
        """Score recordings, as `python -m weakneg predict` does.

        Parameters
        ----------
        recordings : path, or iterable of path
            Audio files, or folders of them.
        tail : bool
            Score what is left at the end of a recording.

        Returns
        -------
        DataFrame
            A row for each clip and model, with the columns of `predict`: recording, start and end
            (seconds), channel if the study heard each, study, class, strategy, seeds, score and
            problem. A clip or recording that cannot be used has one row with the problem, and NaN
            as its score.

        Raises
        ------
        UserError
            When a recording is missing, or a folder has none.
        """
        import pandas as pd

        single = isinstance(recordings, str | os.PathLike)
        paths = find_recordings([recordings] if single else recordings)  # type: ignore[list-item,arg-type]
        table = io.StringIO()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # each thread computes a different clip or model
        try:
            score_recordings(self.models, paths, _InMemory(table), len(paths), tail, self.threads)
        finally:
            torch.set_num_threads(threads)
        table.seek(0)
        columns = columns_of(self.models[0].front_end.hears_each)
        found = pd.read_csv(table, names=columns, dtype=str, keep_default_na=False)
        numbers = [name for name in _NUMBERS if name in columns]
        return found.assign(**{name: pd.to_numeric(found[name]) for name in numbers})


class _InMemory(Tables):
    """A table that is not a file, for which nothing is noted."""

    def __init__(self, table: io.StringIO) -> None:
        super().__init__([table], io.StringIO(), [])

    def finish(self, recording: str, n_scored: int, n_problems: int) -> None:
        """All rows of a recording are written."""


def load(
    results: _PathLike | Sequence[_PathLike],
    strategy: str | None = None,
    seeds: Sequence[int] | None = None,
    encoder: _PathLike | None = None,
    device: str = "",
    threads: int | None = None,
) -> Models:
    """Load trained models of sound.

    Parameters
    ----------
    results : path, or sequence of path
        Folder of a study's results, folder of a run or its model.pt; or several of the last two.
    strategy : str, optional
        Whose models to load of a study's results; needed if there are several.
    seeds : sequence of int, optional
        The score is the mean over these; by default over all seeds of a run.
    encoder : path, optional
        The ONNX file of the encoder, for a study with one; by default where it was.
    device : str
        auto, cpu, cuda or cuda:N; by default what WEAKNEG_DEVICE says, or auto.
    threads : int, optional
        CPU threads; by default all.

    Returns
    -------
    Models
        The models.

    Raises
    ------
    UserError
        When there are no models, a model cannot be used, or the strategy must be chosen.
    """
    single = isinstance(results, str | os.PathLike)
    named = [Path(results)] if single else list(map(Path, results))  # type: ignore[arg-type]
    paths = [path for each in named for path in _runs(each, strategy)]
    before = torch.get_num_threads()
    on_device = prepare(device or os.environ.get("WEAKNEG_DEVICE", ""), before)
    file = None if encoder is None else Path(encoder)
    return Models(read_models(paths, seeds, on_device, file), threads or os.cpu_count() or 1)


def _runs(path: Path, strategy: str | None) -> list[Path]:
    """The models of a folder of results, or the one that a path names."""
    if not (path / "runs").is_dir():
        return [path]
    found = sorted(path.glob(f"runs/*/*/{MODEL_FILE}"))
    names = sorted({each.parent.name for each in found})
    if not names:
        raise UserError(f"{path} has no trained models: run the study first.")
    if strategy is None and len(names) > 1:
        raise UserError(
            f"{path} has models of {', '.join(names)}: choose one of these strategies, as in "
            f"strategy={names[0]!r}."
        )
    if strategy is not None and strategy not in names:
        raise UserError(f"{path} has no models of {strategy}: choose one of {', '.join(names)}.")
    return [each for each in found if each.parent.name == (strategy or names[0])]
