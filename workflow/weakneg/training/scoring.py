"""Scoring of the test bags of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from weakneg.bags.draw import Bags
from weakneg.bags.manifest import read_bags
from weakneg.config.sections import ModelSettings
from weakneg.config.stages import ScoreSettings
from weakneg.errors import UserError
from weakneg.features.store import open_store
from weakneg.io.files import unreadable
from weakneg.io.parquet import write_table
from weakneg.jobs.device import prepare
from weakneg.jobs.gpus import Device
from weakneg.jobs.scratch import Staged
from weakneg.models import bag_classifier
from weakneg.stages import Threads, stage
from weakneg.training.data import BagData, draw_of, score_bags


@stage
def score_run(
    class_name: str,
    settings: ScoreSettings,
    store: Staged,
    manifest: Path,
    model: Path,
    output: Path,
    threads: Threads,
    device: Device = "",
) -> None:
    """Score the test bags of a run, once, with the weights that validation chose.

    Parameters
    ----------
    class_name : str
        The class of the run.
    settings : ScoreSettings
        The model, and how many bags to score at a time.
    store, manifest : Path
        The test split's features and bags.
    model : Path
        The run's model.pt.
    output : Path
        A Parquet file with the score of each test bag by each seed; of many classes, label and
        score are lists with a number for each.
    threads : int
        CPU threads.
    device : str
        auto, cpu, cuda or cuda:N; by default what WEAKNEG_DEVICE says, or auto.

    Raises
    ------
    UserError
        When an input cannot be used, or a score is NaN or infinite.
    """
    on_device = prepare(device, threads)
    columns: dict[str, list[Any]] = {"seed": [], "bag": [], "label": [], "score": []}
    with open_store(store) as features:
        draws = read_bags(manifest, features, settings.classes or class_name)
        saved = read_model(model, on_device)
        given = {
            "class": class_name,
            "classes": settings.classes,
            "kind": features.kind,
            "mean": features.mean.tolist(),
            "std": features.std.tolist(),
        }
        for name, value in given.items():
            if saved.get(name) != value:
                raise UserError(
                    f"{model} was trained for another {name} than that of {store} and "
                    f"{class_name!r}: score the data that it was trained for."
                )
        _check_model(model, saved, settings.model)
        shape = tuple(saved["instance_shape"])
        n_classes = None if settings.classes is None else len(settings.classes)
        classifier = bag_classifier.load(settings.model, shape, n_classes).to(on_device)
        data: BagData | None = None
        drawn: Bags | None = None
        for seed, weights in saved["weights"].items():
            bags = draw_of(draws, seed, settings.draw_per_seed, manifest)
            if data is None or bags is not drawn:
                data, drawn = BagData(features, bags, on_device), bags
            classifier.load_state_dict(weights)
            logits = score_bags(
                classifier, data, data.rows(np.arange(len(bags))), settings.score_batch_size
            ).logits
            if not torch.isfinite(logits).all():
                raise UserError(
                    f"{model}: seed {seed} gives scores that are NaN or infinite; delete the file, "
                    "so that the run is trained again."
                )
            columns["seed"].append(np.full(len(bags), seed, dtype=np.int64))
            columns["bag"].append(bags.bag)
            columns["label"].append(bags.label)
            columns["score"].append(logits.cpu().numpy())
    write_table(output, pa.table({name: _column(np.concatenate(c)) for name, c in columns.items()}))


def read_model(path: Path, device: torch.device) -> dict[str, Any]:
    """Read the model.pt of a run, onto a device. Raises UserError when it cannot be read."""
    try:
        saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # on damaged files torch.load raises nearly anything
        again = "delete it, so that the run is trained again"
        raise unreadable(path, error, again) from error
    return saved


def _check_model(path: Path, saved: Mapping[str, Any], settings: ModelSettings) -> None:
    """Refuse a model with other settings: those of two poolings may have the same weights."""
    given = settings.model_dump(exclude={"precision", "weights"})
    trained = ModelSettings().model_dump() | saved["model"]  # an older file may lack some
    for name, value in given.items():
        if trained[name] != value:
            raise UserError(
                f"{path} was trained with the model setting {name}: {trained[name]}, not {value}: "
                "score it with the settings that it was trained with."
            )


def _column(values: np.ndarray) -> pa.Array:
    """A column of numbers, or, of many classes, of lists with a number for each.

    Scores are float64 where there is one class; where there are hundreds, float32 saves the room.
    """
    if values.ndim == 1:
        return pa.array(values.astype(np.float64) if values.dtype == np.float32 else values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
