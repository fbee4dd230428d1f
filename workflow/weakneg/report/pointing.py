"""The table of the pointing game."""

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Json

from weakneg.analysis.pointing import COLUMNS, instances_of_classes, play
from weakneg.analysis.study import Study
from weakneg.bags.manifest import read_bags
from weakneg.config.stages import ScoreSettings
from weakneg.datasets.listened import read_heard
from weakneg.features.store import open_store
from weakneg.io.csv import write_frame
from weakneg.io.files import replace_when_whole
from weakneg.jobs.device import prepare
from weakneg.jobs.gpus import Device
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
    classes: Json[dict[str, dict[str, list[str]]]] | None = None,
    frame_seconds: float | None = None,
    device: Device = "",
) -> None:
    """Ask where the models of a study of many classes hear, or see, the classes of test bags.

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
    classes : dict
        Of clips, how each class that people listened for is judged.
    frame_seconds : float
        Of clips, the time from one frame to the next.
    device : str
        auto, cpu, cuda or cuda:N; by default what WEAKNEG_DEVICE says, or auto.

    Raises
    ------
    UserError
        When an input cannot be used, or no bag has instances with and without a class.
    """
    study = Study.of(settings)
    on_device = prepare(device, threads)
    assert model_settings.classes is not None
    tables = []
    with open_store(store) as features:
        # Any draw of test bags will do for all seeds.
        bags = next(iter(read_bags(manifest, features, model_settings.classes).values()))
        of_classes = instances_of_classes(
            features,
            bags,
            model_settings.classes,
            read_heard(heard) if heard is not None else [],
            classes or {},
            frame_seconds,
        )
        data = BagData(features, bags, on_device)
        for method, run in runs:
            saved = read_model(run / "model.pt", on_device)
            tables.append(play(saved, model_settings, data, of_classes).assign(strategy=method))
    table = pd.concat(tables)[COLUMNS].round(5)
    write_frame(folder / "pointing.csv", table)
    with replace_when_whole(folder / "pointing.md") as temporary:
        temporary.write_text(pointing_text(table, study), encoding="utf-8", newline="\n")
