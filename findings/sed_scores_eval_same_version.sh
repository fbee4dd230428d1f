#!/bin/sh
# sed_scores_eval 0.0.4 and sed_scores_eval-np2 0.0.4: two distributions with the same version and
# the same name to import, whose AUROC differs where scores are equal.
#
# The second is a fork for NumPy 2; the first also builds and runs with NumPy 2, so that nothing
# says which of the two computed a number. The first counts a pair of equal scores as lost, so that
# a system that says the same of all segments has an AUROC of 0, where the fork, and scikit-learn,
# say .5. Scores of a few levels, such as thresholded or quantised ones, are underrated likewise.
#
# Output seen, with numpy 2.4.6 and pandas 2.3.3:
#
#     scikit-learn: 0.875, all equal: 0.5
#     sed_scores_eval==0.0.4: 0.75, all equal: 0.0
#     sed_scores_eval-np2==0.0.4: 0.875, all equal: 0.5
#
# Needs a C++ compiler. Exits with 0 if this still happens, with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/auroc.py" <<'PYTHON'
import sys

import numpy as np
from sklearn.metrics import roc_auc_score

HOLDS = [1, 1, 0, 0, 1, 0, 1, 0]
SCORES = [2, 1, 1, 0, 1, 1, 2, 0]

if sys.argv[1] == "scikit-learn":
    found = [roc_auc_score(HOLDS, SCORES), roc_auc_score(HOLDS, [0] * len(HOLDS))]
else:
    from sed_scores_eval import segment_based
    from sed_scores_eval.base_modules.scores import create_score_dataframe

    scores, truth = {}, {}
    for number, (holds, score) in enumerate(zip(HOLDS, SCORES)):
        scores[str(number)] = create_score_dataframe(
            np.array([[score, 0.0]]), np.array([0.0, 1.0]), ["Dog", "Rain"]
        )
        # Somebody hears either a dog or rain.
        truth[str(number)] = [(0.0, 1.0, "Dog" if holds else "Rain")]
    seconds = dict.fromkeys(scores, 1.0)
    found = segment_based.auroc(scores, truth, seconds, segment_length=1.0)[0]
    found = [found["Dog"], found["Rain"]]
found = [round(float(each), 3) for each in found]
print(f"{sys.argv[1]}: {found[0]}, all equal: {found[1]}")
sys.exit(str(found) != sys.argv[2])
PYTHON
changed=0
for case in "scikit-learn [0.875, 0.5]" "sed_scores_eval==0.0.4 [0.75, 0.0]" \
    "sed_scores_eval-np2==0.0.4 [0.875, 0.5]"; do
    package=${case%% *} expected=${case#* }
    if [ "$package" = scikit-learn ]; then
        python3 -m venv "$folder/first"
        python="$folder/first/bin/python"
        "$python" -m pip install --quiet --disable-pip-version-check scikit-learn==1.9.1
    else
        python3 -m venv "$folder/$package"
        python="$folder/$package/bin/python"
        "$python" -m pip install --quiet --disable-pip-version-check \
            "$package" numpy==2.4.6 pandas==2.3.3 scikit-learn==1.9.1 setuptools==80.9.0
    fi
    "$python" -W ignore "$folder/auroc.py" "$package" "$expected" || changed=1
done
exit $changed
