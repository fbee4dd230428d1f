"""Missing labels found among the first suspects: ours, and the ranking of cleanlab.

    pip install --target /tmp/cleanlab --no-deps cleanlab termcolor tqdm
    export PYTHONPATH=workflow:/tmp/cleanlab
    python tests/benchmarks/suspects.py results/audioset_vggish_truth

All rankings get the same scores of the same models, and are judged by the same people, who listened
to some of the test clips. cleanlab gets one probability per clip, the mean over the models, and
ranks by self-confidence, its default; among negatives, that is the order of this probability.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata

from weakneg.analysis.runs import read_run
from weakneg.analysis.selections import bags_of_classes
from weakneg.analysis.study import Study
from weakneg.analysis.suspects import CHECKED, Suspects, precision, suspects
from weakneg.analysis.truth import judged_clips, read_scores
from weakneg.config.load import load_study
from weakneg.config.report import ReportSettings
from weakneg.datasets.listened import read_heard
from weakneg.workspace.results import Results


def cleanlab_ranking(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Quality of each label by cleanlab, from the mean probability: low is suspicious."""
    from cleanlab.rank import get_label_quality_scores

    positive = expit(scores).mean(axis=0)
    return get_label_quality_scores(
        (label == 1).astype(int), np.stack([1 - positive, positive], axis=1)
    )


def cleanlab_ensemble(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The same by cleanlab's way to combine models: weighted by their accuracy."""
    from cleanlab.rank import get_label_quality_ensemble_scores

    models = [np.stack([1 - p, p], axis=1) for p in expit(scores)]
    return get_label_quality_ensemble_scores((label == 1).astype(int), models, verbose=False)


# Name -> quality of the labels: low is suspicious.
OTHERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cleanlab": cleanlab_ranking,
    "cleanlab, ensemble": cleanlab_ensemble,
    "mean logit": lambda scores, label: -scores.mean(axis=0),
    "mean normalised logit": lambda scores, label: -_normalised(scores, label).mean(axis=0),
    "mean rank": lambda scores, label: _ranks(scores, label).mean(axis=0),
    "mean logarithm of the rank": lambda scores, label: np.log(_ranks(scores, label)).mean(axis=0),
}


def _ranks(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    ranks = np.full(scores.shape, np.inf)
    ranks[:, label != 1] = rankdata(-scores[:, label != 1], axis=1)
    return ranks


def _normalised(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Logits with the mean and the spread of the negatives of each model taken out."""
    of = scores[:, label != 1]
    return (scores - of.mean(axis=1, keepdims=True)) / of.std(axis=1, keepdims=True)


def ordered(quality: np.ndarray, label: np.ndarray) -> Suspects:
    """The negatives in an order."""
    row = np.flatnonzero(label != 1)
    row = row[np.argsort(quality[row], kind="stable")]
    nothing = np.full(len(row), np.nan)
    return Suspects(row, nothing, nothing)


def main() -> None:
    """Compare the rankings."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path, help="folder of the results of a study with truth")
    parser.add_argument("--strategies", nargs="*", help="only these; by default all")
    options = parser.parse_args()
    study = load_study(options.results.name)
    results = Results(study)
    root = options.results.parent.parent
    reported = Study.of(ReportSettings.of(study).model_dump())
    clips = read_heard(root / results.truth_list[0])
    folders: dict[str, list[Path]] = {}
    for path in sorted(options.results.glob("runs/*/*/scores.parquet")):
        if not options.strategies or path.parent.name in options.strategies:
            folders.setdefault(read_run(path.parent)["class"], []).append(path.parent)
    rows = []
    for bags, name in zip(
        bags_of_classes([options.results / "bags/test.csv"], reported),
        reported.classes,
        strict=True,
    ):
        if name not in folders:
            continue
        scores = np.concatenate([read_scores(folder, bags)[1] for folder in folders[name]])
        means = study.truth.classes[name].model_dump()
        judged = judged_clips(bags, clips, means)
        rankings = {"ours": suspects(scores, bags.label)}
        for other, quality in OTHERS.items():
            rankings[other] = ordered(quality(scores, bags.label), bags.label)
        for ranking, ranked in rankings.items():
            *shares, base = precision(ranked, judged)
            rows.append((name, len(scores), ranking, *shares, base))
    columns = ["class", "models", "ranking", *(f"first {n}" for n in CHECKED), "all"]
    table = pd.DataFrame(rows, columns=columns)
    print(table.to_string(index=False, float_format="{:.3f}".format))
    print(table.groupby("ranking", sort=False).mean(numeric_only=True).to_string())


if __name__ == "__main__":
    main()
