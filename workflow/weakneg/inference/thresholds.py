"""Thresholds and calibration of the models that score recordings."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from weakneg.errors import UserError
from weakneg.inference.trained import MODEL_FILE, TrainedModel
from weakneg.training.thresholds import Point, Rule, Validation, applied, read_saved


class Model(NamedTuple):
    """A model that has written scores.

    Attributes
    ----------
    study, class_name, strategy, seeds : str
        As in the table of scores.
    """

    study: str
    class_name: str
    strategy: str
    seeds: str

    def __str__(self) -> str:
        return f"{self.class_name} ({self.study}/{self.strategy})"


def calibrated_models(models: Sequence[TrainedModel]) -> list[TrainedModel]:
    """The same models, with calibrated scores.

    Raises
    ------
    UserError
        When a model has not kept its validation bags, lacks positive or negative ones, or its
        scores say nothing about them.
    """
    found = []
    for model in models:
        name = str(Model(*model.name, model.seeds))
        if model.validation is None:
            raise UserError(
                f"{name} has kept no validation scores (models of older versions have none), which "
                "calibration needs: leave out --calibrated."
            )
        model.validation.require_both(name, "calibration", "leave out --calibrated")
        calibration = model.validation.calibrate()
        if calibration.slope <= 0:
            raise UserError(
                f"{name} scores its positive validation bags no higher than the negative ones, so "
                "that its scores cannot be calibrated: leave out --calibrated, or this model."
            )
        found.append(replace(model, calibration=calibration))
    return found


def thresholds_of(models: Sequence[TrainedModel], rule: Rule) -> list[float]:
    """The threshold of each model; each is said in a line on stderr.

    Raises
    ------
    UserError
        When the rule needs validation bags that a model has not kept, or a precision is too high.
    """
    found = []
    for model in models:
        named = Model(*model.name, model.seeds)
        calibrated = model.calibration is not None
        threshold, point = applied(rule, model.validation, calibrated, str(named))
        say(named, rule, threshold, point)
        found.append(threshold)
    return found


def thresholds_from_files(
    models: Sequence[Model], rule: Rule, calibrated: bool, files: Sequence[Path]
) -> dict[Model, tuple[float, Point | None]]:
    """Choose the thresholds of models that have written scores; each is said in a line on stderr.

    Parameters
    ----------
    models : sequence of Model
        The models in the table of scores.
    rule : Rule
        How to choose.
    calibrated : bool
        Whether the scores are calibrated.
    files : sequence of Path
        Folders of runs, or their model.pt, among which the models are.

    Returns
    -------
    dict
        Model -> threshold, and what it gives on validation bags, if these are known.

    Raises
    ------
    UserError
        When a model is not among the files, and as `weakneg.training.thresholds.applied`.
    """
    kept = {}
    for path in files:
        saved = read_saved(path / MODEL_FILE if path.is_dir() else path)
        for name in saved.get("classes", [saved.get("class")]):
            kept[str(saved.get("study")), str(name), str(saved.get("strategy"))] = path, saved
    found: dict[Model, tuple[float, Point | None]] = {}
    for model in models:
        validation = None
        if model[:3] in kept:
            path, saved = kept[model[:3]]
            validation = _of_seeds(path, saved, model)
        else:
            raise UserError(
                f"--threshold {rule} needs the model of {model}: name its folder with --models, as "
                "for `predict`."
            )
        found[model] = applied(rule, validation, calibrated, str(model))
        say(model, rule, *found[model])
    return found


def _of_seeds(path: Path, saved: Mapping[str, object], model: Model) -> Validation | None:
    try:
        seeds = [int(seed) for seed in model.seeds.split(";")]
        return Validation.of(saved, model.class_name, seeds)
    except (KeyError, ValueError):
        raise UserError(
            f"{path} does not have the seeds {model.seeds} that made the scores: name that model."
        ) from None


def say(model: Model, rule: Rule, threshold: float, point: Point | None) -> None:
    """Say in a line on stderr what threshold is used."""
    chosen = "" if rule.name == "score" else f" ({rule})"
    gave = "" if point is None else f"; on validation bags: {point}"
    print(f"{model}: detected from a score of {threshold:.4g}{chosen} on{gave}", file=sys.stderr)
