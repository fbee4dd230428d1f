"""Thresholds and calibration, from the validation bags that training keeps in a model's file.

Each seed holds out bags of its own, which its model scores. The bags of all seeds are taken
together: one seed alone often has only a handful of positives.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import PlainValidator

from weakneg.errors import UserError
from weakneg.training.ranking import best_thresholds, counts_at_thresholds

_BEST = {"best-f1": "f1", "best-gmean": "g_mean"}
_TARGETS = ("precision", "recall")


class Rule(NamedTuple):
    """How to choose a threshold: best-f1, best-gmean, precision:0.9, recall:0.8, or a score.

    With a precision, it is the threshold that finds most of the positives among those with at
    least this precision; with a recall, the highest threshold with at least this recall.

    Attributes
    ----------
    name : str
        "best-f1", "best-gmean", "precision", "recall" or "score".
    target : float
        The precision, recall or score, 0 to 1; NaN if there is none.
    """

    name: str
    target: float = math.nan

    @classmethod
    def of(cls, text: str) -> "Rule":
        """Read a rule. Raises ValueError when it is none."""
        name, colon, target = text.partition(":")
        if text in _BEST:
            return cls(text)
        if not colon:
            name, target = "score", text
        try:
            number = float(target)
        except ValueError:
            number = math.nan
        if name not in (*_TARGETS, "score") or not 0 <= number <= 1:
            raise ValueError(
                f"must be best-f1, best-gmean, precision:0.9, recall:0.8, or a score from 0 to 1, "
                f"not {text!r}"
            )
        return cls(name, number)

    def __str__(self) -> str:
        if math.isnan(self.target):
            return self.name
        return f"{self.target:g}" if self.name == "score" else f"{self.name}:{self.target:g}"


Threshold = Annotated[Rule, PlainValidator(Rule.of)]
"""A rule as an option of a command."""


class Point(NamedTuple):
    """A threshold, and what it gives on labelled bags; detected is what scores at least as much.

    Attributes
    ----------
    threshold : float
        On the scale of the scores that it was chosen from.
    true_positives, false_positives : int
        Detected bags, positive and negative.
    positives, negatives : int
        All bags.
    """

    threshold: float
    true_positives: int
    false_positives: int
    positives: int
    negatives: int

    @classmethod
    def at(cls, threshold: float, label: np.ndarray, score: np.ndarray) -> "Point":
        """What a threshold gives on bags with these labels (n,), 0 or 1, and scores (n,)."""
        detected = label[score >= threshold]
        hits = int(detected.sum())
        positives = int(label.sum())
        return cls(threshold, hits, len(detected) - hits, positives, len(label) - positives)

    @property
    def precision(self) -> float:
        """Share of the detected bags that are positive; NaN if nothing is detected."""
        detected = self.true_positives + self.false_positives
        return self.true_positives / detected if detected else math.nan

    @property
    def recall(self) -> float:
        """Share of the positive bags that are detected; NaN if there are none."""
        return self.true_positives / self.positives if self.positives else math.nan

    def __str__(self) -> str:
        precision = "" if math.isnan(self.precision) else f"precision {self.precision:.2f}, "
        return (
            f"{self.true_positives} of {self.positives} positives and {self.false_positives} of "
            f"{self.negatives} negatives, {precision}recall {self.recall:.2f}"
        )


class Calibration(NamedTuple):
    """Platt scaling: the probability of a logit x is the sigmoid of slope * x + intercept."""

    slope: float
    intercept: float

    def logit(self, logit: Any) -> Any:
        """The calibrated logits, an array, tensor or number as given."""
        return self.slope * logit + self.intercept


class Validation(NamedTuple):
    """Validation bags of a run, each scored by a seed that did not train on it.

    Attributes
    ----------
    label : (n,) int64
        0 or 1.
    logit : (n,) float64
        Scores.
    """

    label: np.ndarray
    logit: np.ndarray

    @classmethod
    def of(
        cls, saved: Mapping[str, Any], class_name: str, seeds: Iterable[int] | None = None
    ) -> "Validation | None":
        """Those of a class and some seeds, by default of all, in the content of a model's file.

        None if the file is older than this record. Bags whose label is unknown are left out.
        """
        if "validation" not in saved:
            return None
        kept = saved["validation"]
        kept = [kept[seed] for seed in (kept if seeds is None else seeds)]
        number = (saved["classes"].index(class_name),) if "classes" in saved else ()
        label, logit = (
            np.concatenate([each[name].numpy(force=True)[:, *number] for each in kept])
            for name in ("label", "logit")
        )
        known = label >= 0
        return cls(label[known].astype(np.int64), logit[known].astype(np.float64))

    def require_both(self, name: str, purpose: str, remedy: str) -> None:
        """Raise a UserError unless there are positive and negative bags."""
        if not 0 < self.label.sum() < len(self.label):
            raise UserError(
                f"{name} has no validation bags of both kinds, positive and negative, which "
                f"{purpose} needs: {remedy}."
            )

    def choose(self, rule: Rule) -> Point | None:
        """The threshold that a rule, other than a score, chooses from the logits.

        Returns
        -------
        Point, optional
            None if no threshold has the precision.
        """
        thresholds, hits, others = counts_at_thresholds(self.label, self.logit)
        if rule.name in _BEST:
            threshold = best_thresholds(self.label, self.logit)[_BEST[rule.name]]
        elif rule.name == "recall":
            # Counts, since 0.8 * 10 may be more than 8; recall:0 still detects something.
            enough = hits >= max(rule.target * hits[-1] - 1e-9, 1)
            threshold = float(thresholds[enough.argmax()])
        else:
            enough = (hits >= rule.target * (hits + others) - 1e-9) & (hits > 0)
            if not enough.any():
                return None
            # The first of those that find the most.
            threshold = float(thresholds[np.where(enough, hits, -1).argmax()])
        return Point.at(threshold, self.label, self.logit)

    def calibrate(self) -> Calibration:
        """Fit Platt scaling.

        Unlike a temperature, it can shift probabilities, which training on chosen negatives makes
        too high; unlike isotonic regression, it leaves no ties and needs only a few positives.

        References
        ----------
        Platt, "Probabilistic Outputs for Support Vector Machines" (1999): the targets, which keep
        the slope finite if the classes are separate.
        """
        from sklearn.linear_model import LogisticRegression

        positives = self.label.sum()
        sure = (positives + 1) / (positives + 2), 1 / (len(self.label) - positives + 2)
        target = np.where(self.label == 1, *sure)
        model = LogisticRegression(C=math.inf, tol=1e-8, max_iter=1000).fit(
            np.concatenate([self.logit, self.logit])[:, None],
            np.repeat([1, 0], len(target)),
            sample_weight=np.concatenate([target, 1 - target]),
        )
        return Calibration(float(model.coef_[0, 0]), float(model.intercept_[0]))


def sigmoid(logit: Any) -> Any:
    """Probabilities of logits, an array or a number."""
    return 0.5 * (1 + np.tanh(np.multiply(0.5, logit)))


def applied(
    rule: Rule, validation: Validation | None, calibrated: bool, name: str
) -> tuple[float, Point | None]:
    """The threshold that a rule sets for scores.

    Parameters
    ----------
    rule : Rule
        How to choose it.
    validation : Validation, optional
        What was kept of the validation bags of the model.
    calibrated : bool
        Whether the scores are calibrated.
    name : str
        Name of the model, for messages.

    Returns
    -------
    float, Point or None
        The score from which on a bag is detected, and what that gives on the validation bags, if
        these are known.

    Raises
    ------
    UserError
        When the rule or calibration needs validation bags that the model does not have, or no
        threshold has the precision.
    """
    if validation is None:
        if rule.name == "score":
            return rule.target, None
        raise UserError(
            f"{name} has kept no validation scores (models of older versions have none), which the "
            f"threshold {rule} needs: give a score, as in --threshold 0.5."
        )
    if calibrated:
        validation.require_both(name, "calibration", "score again without --calibrated")
    elif rule.name != "score":
        remedy = "give a score, as in --threshold 0.5"
        validation.require_both(name, f"the threshold {rule}", remedy)
    logit = validation.calibrate().logit(validation.logit) if calibrated else validation.logit
    if rule.name == "score":
        return rule.target, Point.at(rule.target, validation.label, sigmoid(logit))
    point = Validation(validation.label, logit).choose(rule)
    if point is None:
        raise UserError(
            f"{name}: no threshold has a precision of {rule.target:g} on its validation bags: "
            "lower it."
        )
    return float(sigmoid(point.threshold)), point


def read_saved(path: Path) -> dict[str, Any]:
    """Read a model's file, but not its weights, which stay in it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    UserError
        When the file is missing, damaged, or not a model.
    """
    import torch

    if not path.is_file():
        raise UserError(f"{path} is missing: name the folder of a run or its model.pt.")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # on damaged files torch.load raises nearly anything
        raise UserError(
            f"{path} is damaged or not a model ({type(error).__name__}): name the folder of a run "
            "or its model.pt."
        ) from error
    if not isinstance(saved, dict) or "weights" not in saved:
        raise UserError(f"{path} is not a model: name the folder of a run or its model.pt.")
    return saved
