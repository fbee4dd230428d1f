#!/bin/sh
# scikit-multilearn 0.2.0, with scikit-learn 1.7.2 and NumPy 2.3.5: iterative stratification, the usual
# way to divide data with many labels, cannot be seeded. IterativeStratification(random_state=0) is
# refused with the advice to set shuffle=True, which is not an argument; iterative_train_test_split has
# no random_state at all. Both draw from NumPy's global generator, so that two calls in one program
# divide the same data differently, and only np.random.seed, which anything else may move, repeats them.
#
# Seen: ValueError (... or set shuffle=True.), TypeError (... unexpected keyword argument 'shuffle'),
# "two calls agree: False", "after np.random.seed: True".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-multilearn==0.2.0 scikit-learn==1.7.2 scipy==1.16.3 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import inspect

import numpy as np
from skmultilearn.model_selection import IterativeStratification, iterative_train_test_split

labels = (np.random.default_rng(0).random((300, 6)) < 0.1).astype(int)
rows = np.arange(300)[:, None]


def refused(**options):
    try:
        IterativeStratification(n_splits=3, order=1, **options)
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def split():
    return iterative_train_test_split(rows, labels, test_size=0.5)[2].ravel().tolist()


seeded, shuffled = refused(random_state=0), refused(random_state=0, shuffle=True)
print(f"random_state=0: {seeded}")
print(f"random_state=0, shuffle=True: {shuffled}")
parameters = list(inspect.signature(iterative_train_test_split).parameters)
print(f"iterative_train_test_split takes {parameters}")
agree = split() == split()
print(f"two calls agree: {agree}")
np.random.seed(1)
first = split()
np.random.seed(1)
repeated = first == split()
print(f"after np.random.seed: {repeated}")
assert seeded.startswith("ValueError") and "shuffle=True" in seeded
assert shuffled.startswith("TypeError") and "shuffle" in shuffled
assert "random_state" not in parameters
assert not agree and repeated
PYTHON
echo "as described"
