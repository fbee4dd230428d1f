"""What the ranking of the validation bags is worth, once per epoch.

The results of a study are computed by scikit-learn (`weakneg.analysis.metrics`). Importing it takes
about a second, which every training job would pay; these few lines give the same numbers.
"""

import numpy as np


def ranking_metrics(label: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Average precision and ROC-AUC; equal scores are one threshold, as in scikit-learn.

    label: (B,) 0 or 1, both present; score: (B,) higher is more positive.
    """
    _, true_positives, false_positives = _counts(label, score)
    precision = true_positives / (true_positives + false_positives)
    recall = true_positives / true_positives[-1]
    average_precision = np.sum(np.diff(recall, prepend=0.0) * precision)
    false_positive_rate = false_positives / false_positives[-1]
    roc_auc = np.trapezoid(np.append(0.0, recall), np.append(0.0, false_positive_rate))
    return float(average_precision), float(roc_auc)


def best_thresholds(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """The thresholds of the best F1 and of the best g-mean on these bags; the higher one in a tie.

    A bag whose score is at least the threshold is called positive. F1 is the harmonic mean of
    precision and recall, the g-mean the geometric one of sensitivity and specificity.

    label: (B,) 0 or 1, both present; score: (B,) higher is more positive.
    """
    thresholds, true_positives, false_positives = _counts(label, score)
    positives, negatives = true_positives[-1], false_positives[-1]
    f1 = 2 * true_positives / (true_positives + false_positives + positives)
    # The g-mean is the root of this over the product of both numbers; so equal ones are equal.
    g_mean = true_positives * (negatives - false_positives)
    return {"f1": float(thresholds[f1.argmax()]), "g_mean": float(thresholds[g_mean.argmax()])}


def _counts(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each different score, from the highest down, and the true and false positives from it up."""
    order = np.argsort(-score, kind="stable")
    label, score = label[order], score[order]
    last_of_threshold = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    true_positives = np.cumsum(label)[last_of_threshold].astype(np.float64)
    return score[last_of_threshold], true_positives, last_of_threshold + 1 - true_positives
