"""Metrics of the ranking of the validation bags, computed once per epoch.

The results of a study are computed with scikit-learn (`weakneg.analysis.metrics`). Importing it
would cost every training job about a second; these few lines give the same numbers.
"""

import numpy as np


def ranking_metrics(label: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Compute average precision and ROC-AUC.

    Equal scores share a threshold, as in scikit-learn.

    Parameters
    ----------
    label : (B,) int
        0 or 1; both must occur.
    score : (B,) float
        Higher is more positive.

    Returns
    -------
    float, float
        Average precision and ROC-AUC.
    """
    _, true_positives, false_positives = counts_at_thresholds(label, score)
    precision = true_positives / (true_positives + false_positives)
    recall = true_positives / true_positives[-1]
    average_precision = np.sum(np.diff(recall, prepend=0.0) * precision)
    false_positive_rate = false_positives / false_positives[-1]
    roc_auc = np.trapezoid(np.append(0.0, recall), np.append(0.0, false_positive_rate))
    return float(average_precision), float(roc_auc)


def of_classes(label: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Compute average precision and ROC-AUC of each class.

    Parameters
    ----------
    label : (B, C) int
        0 or 1; any other number where it is not known, and the bag does not count.
    score : (B, C) float
        Higher is more positive.

    Returns
    -------
    (C, 2) float64
        As `ranking_metrics`; NaN for classes that do not have both labels.
    """
    found = np.full((label.shape[1], 2), np.nan)
    by_class = map(np.ascontiguousarray, (label.T, score.T))
    for place, (of_class, scores) in enumerate(zip(*by_class, strict=True)):
        known = (of_class == 0) | (of_class == 1)
        if not known.all():
            of_class, scores = of_class[known], scores[known]
        if 0 < np.count_nonzero(of_class) < len(of_class):
            found[place] = ranking_metrics(of_class, scores)
    return found


def best_thresholds(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Find the thresholds with the best F1 and the best g-mean on these bags.

    A bag is classified as positive if its score is at least the threshold. F1 is the harmonic mean
    of precision and recall, the g-mean the geometric mean of sensitivity and specificity.

    Parameters
    ----------
    label, score : arrays
        As in `ranking_metrics`.

    Returns
    -------
    dict of str to float
        Thresholds "f1" and "g_mean"; the higher one in a tie.
    """
    thresholds, true_positives, false_positives = counts_at_thresholds(label, score)
    positives, negatives = true_positives[-1], false_positives[-1]
    f1 = 2 * true_positives / (true_positives + false_positives + positives)
    # The g-mean is the root of this divided by both numbers. Compared as integers, ties are exact.
    g_mean = true_positives * (negatives - false_positives)
    return {"f1": float(thresholds[f1.argmax()]), "g_mean": float(thresholds[g_mean.argmax()])}


def tied_at_the_ends(score: np.ndarray) -> dict[str, int]:
    """Count the bags that share the highest score, and those that share the lowest.

    Such ties are what a model leaves whose scores reach a limit. Average precision then gives them
    all the precision at the end of the tie, as if positives and negatives were evenly mixed.

    Parameters
    ----------
    score : (B,) float
        Scores of the bags.

    Returns
    -------
    dict of str to int
        "highest" and "lowest"; 0 where only one bag has that score.
    """
    counts = {"highest": np.sum(score == score.max()), "lowest": np.sum(score == score.min())}
    return {end: int(count) if count > 1 else 0 for end, count in counts.items()}


def counts_at_thresholds(
    label: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count what each threshold detects.

    Parameters
    ----------
    label, score : arrays
        As in `ranking_metrics`.

    Returns
    -------
    (T,) float, (T,) float64, (T,) float64
        The distinct scores, highest first, and the true and false positives at each.
    """
    order = np.argsort(-score)  # not stable, but the order within a tie does not matter
    label, score = label[order], score[order]
    last_of_threshold = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    true_positives = np.cumsum(label)[last_of_threshold].astype(np.float64)
    return score[last_of_threshold], true_positives, last_of_threshold + 1 - true_positives
