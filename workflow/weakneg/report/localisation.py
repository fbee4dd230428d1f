"""Where the models of a study of many classes hear, or see, the classes of test bags."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Json

from weakneg.analysis import events, pointing
from weakneg.analysis.places import Places, heard_in, instances_of_classes, places_of
from weakneg.analysis.study import Study
from weakneg.audio.recordings import read_recordings
from weakneg.bags.manifest import read_bags
from weakneg.config.stages import ScoreSettings
from weakneg.datasets.listened import HeardClip, read_heard
from weakneg.features.store import Store, open_store
from weakneg.features.timed_labels import timed_labels
from weakneg.io.csv import write_frame
from weakneg.io.files import replace_when_whole
from weakneg.io.progress import Progress
from weakneg.jobs.device import prepare
from weakneg.jobs.gpus import Device
from weakneg.report.events_text import events_text
from weakneg.report.pointing_text import pointing_text
from weakneg.stages import StrategyRun, Threads, stage
from weakneg.training.data import BagData
from weakneg.training.scoring import read_model


@stage
def play_pointing_game(
    runs: list[StrategyRun],
    store: Path,
    manifest: Path,
    model_settings: ScoreSettings,
    settings: Json[dict[str, Any]],
    folder: Path,
    threads: Threads,
    heard: Path | None = None,
    recordings: Path | None = None,
    classes: Json[dict[str, dict[str, list[str]]]] | None = None,
    frame_seconds: float | None = None,
    device: Device = "",
) -> None:
    """Play the pointing game.

    Parameters
    ----------
    runs : list of (str, Path)
        Method and folder of each run.
    store, manifest : Path
        The test split's features and bags.
    model_settings : ScoreSettings
        The model, and its classes.
    settings : dict
        The study as it is reported.
    folder : Path
        Folder to write to: pointing.csv (see `weakneg.analysis.pointing.play`) and pointing.md.
    threads : int
        CPU threads.
    heard : Path
        Of clips, the list of what people heard, and when.
    recordings : Path
        Instead of `heard`, the list of recordings, whose labels say when they sound.
    classes : dict
        Of clips, how each class that people listened for is judged.
    frame_seconds : float
        Of feature vectors, the time from one to the next.
    device : str
        auto, cpu, cuda or cuda:N; by default what WEAKNEG_DEVICE says, or auto.

    Raises
    ------
    UserError
        When an input cannot be used, or no bag has instances with and without a class.
    """
    study, on_device = Study.of(settings), prepare(device, threads)
    assert model_settings.classes is not None
    tables = []
    with _opened(
        store, manifest, model_settings, heard, recordings, frame_seconds, on_device
    ) as bags:
        of_classes = instances_of_classes(
            bags.store,
            bags.data.bags,
            bags.places,
            model_settings.classes,
            bags.heard,
            classes or {},
        )
        for method, run in runs:
            saved = read_model(run / "model.pt", on_device)
            table = pointing.play(saved, model_settings, bags.data, bags.places.mask, of_classes)
            tables.append(table.assign(strategy=method))
    table = pd.concat(tables)[pointing.COLUMNS].round(5)
    write_frame(folder / "pointing.csv", table)
    with replace_when_whole(folder / "pointing.md") as temporary:
        temporary.write_text(pointing_text(table, study), encoding="utf-8", newline="\n")


@stage
def measure_event_detection(
    runs: list[StrategyRun],
    store: Path,
    manifest: Path,
    model_settings: ScoreSettings,
    settings: Json[dict[str, Any]],
    folder: Path,
    threads: Threads,
    heard: Path | None = None,
    recordings: Path | None = None,
    classes: Json[dict[str, dict[str, list[str]]]] | None = None,
    frame_seconds: float | None = None,
    device: Device = "",
) -> None:
    """Measure how well events are detected in clips.

    Parameters
    ----------
    runs : list of (str, Path)
        Method and folder of each run.
    store, manifest : Path
        The test split's features and bags.
    model_settings : ScoreSettings
        The model, and its classes.
    settings : dict
        The study as it is reported.
    folder : Path
        Folder to write to: events.csv, with `weakneg.analysis.events.COLUMNS`; events_by_class.csv,
        with the same measures of each class; and events.md.
    threads : int
        CPU threads.
    heard : Path
        The list of what people heard, and when.
    recordings : Path
        Instead of `heard`, the list of recordings, whose labels say when they sound.
    classes : dict
        How each class that people listened for is judged.
    frame_seconds : float
        Of feature vectors, the time from one to the next.
    device : str
        auto, cpu, cuda or cuda:N; by default what WEAKNEG_DEVICE says, or auto.

    Raises
    ------
    UserError
        When an input cannot be used, sed_scores_eval is not installed, or there is no event.
    """
    study, on_device = Study.of(settings), prepare(device, threads)
    assert model_settings.classes is not None
    events.library()
    means = classes or {}
    columns = [model_settings.classes.index(name) for name in means]
    tables, of_classes = [], []
    with (
        _opened(
            store, manifest, model_settings, heard, recordings, frame_seconds, on_device
        ) as bags,
        Progress("measuring events", len(runs), "runs") as progress,
    ):
        by_row = heard_in(bags.store, bags.data.bags, bags.heard)
        clips = events.clips_of(by_row, means, bags.places)
        rows = np.array([*by_row], dtype=np.int64)
        everywhere = events.measure(_everywhere(clips), clips)
        for method, run in runs:
            saved = read_model(run / "model.pt", on_device)
            for seed, parts in pointing.parts_of_seeds(saved, model_settings, bags.data, rows):
                found = events.measure(_without_padding(parts[:, :, columns], clips), clips)
                by_class = pd.DataFrame(found).rename_axis("class").reset_index()
                by_class.insert(0, "strategy", method)
                by_class.insert(1, "seed", seed)
                known = by_class["class"] != events.ALL
                of_classes.append(by_class[known])
                single = of_classes[-1][[*events.PSDS]].mean().add_suffix("_mean")
                tables.append(
                    by_class[~known].assign(
                        clips=len(rows),
                        classes=known.sum(),
                        everywhere_f1=everywhere["segment_f1"][events.ALL],
                        **single,
                    )
                )
            progress.add()
    table = pd.concat(tables)[events.COLUMNS].round(5)
    write_frame(folder / "events.csv", table)
    write_frame(folder / "events_by_class.csv", pd.concat(of_classes).round(5))
    with replace_when_whole(folder / "events.md") as temporary:
        temporary.write_text(events_text(table, study), encoding="utf-8", newline="\n")


def _without_padding(parts: np.ndarray, clips: events.Clips) -> list[np.ndarray]:
    """Of each clip the frames that it has."""
    pairs = zip(parts, clips.edges, strict=True)
    return [of_clip[: len(edges) - 1] for of_clip, edges in pairs]


def _everywhere(clips: events.Clips) -> Sequence[np.ndarray]:
    """What a model says that knows nothing: the same of all frames and classes."""
    return [np.zeros((len(edges) - 1, len(clips.classes))) for edges in clips.edges]


class _Opened(NamedTuple):
    store: Store
    data: BagData
    places: Places
    heard: list[HeardClip]


@contextmanager
def _opened(
    store: Path,
    manifest: Path,
    settings: ScoreSettings,
    heard: Path | None,
    recordings: Path | None,
    frame_seconds: float | None,
    device: torch.device,
) -> Iterator[_Opened]:
    """The test bags, and what is known of their instances; parameters as for the stages."""
    assert settings.classes is not None
    clips = read_heard(heard) if heard is not None else []
    if recordings is not None:
        clips = timed_labels(store, read_recordings(recordings))
    with open_store(store) as features:
        # Any draw of test bags will do for all seeds.
        bags = next(iter(read_bags(manifest, features, settings.classes).values()))
        data = BagData(features, bags, device)
        yield _Opened(features, data, places_of(features, data, settings, frame_seconds), clips)
