"""Bags nearest to the boundary of a linear support vector machine."""

import torch
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from weakneg.strategies.pool import Pool, Selection, top_k


def select(pool: Pool, k: int, generator: torch.Generator) -> Selection:
    """The k bags of the smallest |f(h)|; score: -|f(h)|.

    f(h) = w h + b is a linear support vector machine (squared hinge loss, C = 1, balanced class
    weights) fitted to the standardised embeddings h of the positive bags against those of the whole
    pool.

    Source: "SVM-Margin" in table 1 of Shah et al., "Importance of Negative Sampling in Weak Label
    Learning", which does not define it. The one formula it gives for a margin, |p - (1 - p)| in
    equation 2, is that of `margin`, which for two classes chooses the same bags as
    `least_confidence`. Table 1 reports other figures for SVM-Margin than for least confidence, so
    it must be another rule; a machine fitted on the embeddings is this project's reading.
    """
    bags, positives = pool.embeddings.double().cpu(), pool.positives.embeddings.double().cpu()
    embeddings = StandardScaler().fit_transform(torch.cat([bags, positives]).numpy())
    labels = [0] * len(bags) + [1] * len(positives)
    machine = LinearSVC(loss="squared_hinge", C=1.0, class_weight="balanced", dual=False)
    machine.fit(embeddings, labels)
    # Not decision_function: a matrix product may round equal rows differently and so break ties.
    distances = (embeddings[: len(bags)] * machine.coef_).sum(1) + machine.intercept_
    return top_k(pool, -torch.from_numpy(distances).abs(), k)
