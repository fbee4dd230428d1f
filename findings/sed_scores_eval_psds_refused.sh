#!/bin/sh
# sed_scores_eval-np2 0.0.4 refuses to compute PSDS for one class with a cross-trigger criterion,
# and PSDS of any kind with pandas 3.
#
# With one class nothing can be confused, so that the second scenario of DCASE's task 4 (cttc .3,
# alpha_ct .5) is well defined: it is the same without the criterion. It ends with TypeError, in
# sed_scores_eval 0.0.4 as well. With pandas 3, whose columns are read-only, PSDS ends with
# ValueError, while segment-based scores of the same data are computed.
#
# Output seen:
#
#     pandas 2.3.3, two classes, with cross triggers: 1.0
#     pandas 2.3.3, one class, without cross triggers: 1.0
#     pandas 2.3.3, one class, with cross triggers: TypeError
#     pandas 2.3.3, segment-based F1: 1.0
#     pandas 3.1.1, two classes, with cross triggers: ValueError
#     pandas 3.1.1, one class, without cross triggers: ValueError
#     pandas 3.1.1, one class, with cross triggers: ValueError
#     pandas 3.1.1, segment-based F1: 1.0
#
# Needs a C++ compiler. Exits with 0 if this still happens, with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
cat >"$folder/psds.py" <<'PYTHON'
import sys

import numpy as np
import pandas as pd
from sed_scores_eval import intersection_based, segment_based
from sed_scores_eval.base_modules.scores import create_score_dataframe

CROSS = {"cttc_threshold": 0.3, "alpha_ct": 0.5}
EDGES = np.arange(11.0)


def case(classes):
    """Ten clips with one event each, and a system that knows all."""
    scores, truth = {}, {}
    for number in range(10):
        label, onset = classes[number % len(classes)], float(number % 5)
        values = np.zeros((10, len(classes)))
        values[int(onset) : int(onset) + 3, classes.index(label)] = 1
        scores[str(number)] = create_score_dataframe(values, EDGES, classes)
        truth[str(number)] = [(onset, onset + 3, label)]
    return scores, truth, dict.fromkeys(scores, 10.0)


def psds(classes, **options):
    return intersection_based.psds(
        *case(classes), dtc_threshold=0.1, gtc_threshold=0.1, **options
    )[0]


found = []
for name, compute in {
    "two classes, with cross triggers": lambda: psds(["Dog", "Cat"], **CROSS),
    "one class, without cross triggers": lambda: psds(["Dog"]),
    "one class, with cross triggers": lambda: psds(["Dog"], **CROSS),
    "segment-based F1": lambda: segment_based.best_fscore(*case(["Dog"]))[0]["Dog"],
}.items():
    try:
        result = str(round(float(compute()), 3))
    except Exception as error:
        result = type(error).__name__
    found.append(result)
    print(f"pandas {pd.__version__}, {name}: {result}")
sys.exit(found != sys.argv[1:])
PYTHON
changed=0
"$python" -m pip install --quiet --disable-pip-version-check \
    sed_scores_eval-np2==0.0.4 numpy==2.4.6 pandas==2.3.3 setuptools==80.9.0
"$python" -W ignore "$folder/psds.py" 1.0 1.0 TypeError 1.0 || changed=1
"$python" -m pip install --quiet --disable-pip-version-check pandas==3.1.1
"$python" -W ignore "$folder/psds.py" ValueError ValueError ValueError 1.0 || changed=1
exit $changed
