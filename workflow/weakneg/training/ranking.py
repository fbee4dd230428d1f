"""Average precision and ROC-AUC of the validation bags, once per epoch.

The results of a study are computed by scikit-learn (`weakneg.evaluation`). Importing it takes
about a second, which every training job would pay; these few lines give the same numbers.
"""

import numpy as np


def ranking_metrics(label: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Average precision and ROC-AUC; equal scores are one threshold, as in scikit-learn.

    label: (B,) 0 or 1, both present; score: (B,) higher is more positive.
    """
    order = np.argsort(-score, kind="stable")
    label, score = label[order], score[order]
    last_of_threshold = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    true_positives = np.cumsum(label)[last_of_threshold].astype(np.float64)
    false_positives = last_of_threshold + 1 - true_positives
    precision = true_positives / (last_of_threshold + 1)
    recall = true_positives / true_positives[-1]
    average_precision = np.sum(np.diff(recall, prepend=0.0) * precision)
    false_positive_rate = false_positives / false_positives[-1]
    roc_auc = np.trapezoid(np.append(0.0, recall), np.append(0.0, false_positive_rate))
    return float(average_precision), float(roc_auc)
