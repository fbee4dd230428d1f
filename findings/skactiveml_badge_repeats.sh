#!/bin/sh
# scikit-activeml 1.0.1 (the current release on 2026-11-29): Badge returns indices several times.
#
# Where every distinct gradient has been chosen, all squared distances to the nearest choice are 0.
# Badge then draws uniformly, and forgets all choices but the last one. A batch of 500 out of 2,000
# samples that have 143 distinct values holds 500 indices, of which fewer are different, without a
# warning. Equal samples are usual: silence, padding, duplicates.
#
# The first sample is chosen by its squared distance to the origin, and this distance is kept when
# later ones are computed, so that the origin counts as a choice. A sample of which the model is sure
# has a gradient near 0, and is not chosen; k-means++ would choose one second in three of four
# batches here.
#
# Output seen, with numpy 2.4.6 and scikit-learn 1.9.1:
#
#     500 indices, 369 of them different
#     a sure sample is chosen second in 0 of 200 batches; k-means++: 147 expected
#
# Exits with 0 if both still happen, with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    scikit-activeml==1.0.1 scikit-learn==1.9.1 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from skactiveml.base import SkactivemlClassifier
from skactiveml.pool import Badge


class Model(SkactivemlClassifier):
    """A binary model with the logit that is the first feature."""

    def __init__(self):
        super().__init__(classes=[0, 1])

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        positive = 1 / (1 + np.exp(-np.asarray(X)[:, 0]))
        return np.column_stack([1 - positive, positive])


def query(x, batch_size, seed):
    model = Model().fit(x, None)
    unlabelled = np.full(len(x), np.nan)
    badge = Badge(random_state=seed)
    return badge.query(x, unlabelled, model, fit_clf=False, batch_size=batch_size)


random = np.random.default_rng(0)
x = random.normal(size=(143, 8))[np.arange(2000) % 143]
chosen = query(x, 500, 0)
different = len(set(map(int, chosen)))
print(f"{len(chosen)} indices, {different} of them different")

# 20 samples near the decision, 80 of which the model is sure; all have features of the same size.
x = random.normal(size=(100, 8))
x[:, 0] = np.where(np.arange(100) < 20, 0.1, 40)
positive = 1 / (1 + np.exp(-x[:, 0]))
gradients = (positive - 1)[:, None] * x
first = np.square(gradients).sum(1).argmax()
distances = np.square(gradients - gradients[first]).sum(1)
expected = 200 * distances[20:].sum() / distances.sum()
sure = sum(query(x, 2, seed)[1] >= 20 for seed in range(200))
print(
    f"a sure sample is chosen second in {sure} of 200 batches; k-means++: {expected:.0f} expected"
)
sys.exit(not (different < 500 and sure < expected / 4))
PYTHON
