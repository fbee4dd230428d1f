"""Stage: score the test bags of a run, once, with the weights that validation chose."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from weakneg.bags.manifest import read_bags
from weakneg.errors import UserError
from weakneg.features.store import open_store
from weakneg.io.parquet import write_table
from weakneg.jobs.device import prepare
from weakneg.models import bag_classifier
from weakneg.training.data import BagData, draw_of, score_bags

if TYPE_CHECKING:
    from weakneg.config.stages import ScoreSettings


def score_run(
    store: str | os.PathLike,
    manifest: str | os.PathLike,
    model: str | os.PathLike,
    class_name: str,
    output: str | os.PathLike,
    settings: "ScoreSettings",
    device: str,
    threads: int,
) -> None:
    """Score the test bags with the model of every seed; writes scores.parquet.

    store, manifest: the test split's features and bags; model: the run's model.pt

    Raises UserError for unusable inputs or when a score is not a number.
    """
    device = prepare(device, threads)
    columns: dict[str, list[Any]] = {"seed": [], "bag": [], "label": [], "score": []}
    with open_store(store) as features:
        draws = read_bags(manifest, features, class_name)
        try:
            saved = torch.load(model, map_location=device, weights_only=True)
        except Exception as error:  # torch.load raises whatever damage makes it stumble over
            reason = type(error).__name__
            raise UserError(
                f"{model} cannot be read ({reason}): delete it, so that the run is trained again."
            ) from error
        given = {
            "class": class_name,
            "kind": features.kind,
            "mean": features.mean.tolist(),
            "std": features.std.tolist(),
        }
        for name, value in given.items():
            if saved.get(name) != value:
                raise UserError(
                    f"{model} is of another {name} than {store} and {class_name!r}: score what it "
                    "was trained for."
                )
        shape = tuple(saved["instance_shape"])
        classifier = bag_classifier.load(settings.model, shape).to(device)
        data, drawn = None, None
        for seed, weights in saved["weights"].items():
            bags = draw_of(draws, seed, settings.draw_per_seed, manifest)
            if bags is not drawn:
                data, drawn = BagData(features, bags, device), bags
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
            columns["score"].append(logits.double().cpu().numpy())
    write_table(output, pa.table({name: np.concatenate(c) for name, c in columns.items()}))
