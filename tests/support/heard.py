"""A study of eight test clips, of which people listened to six."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from selections import write_clips
from synthetic import settings_of

# Clip 0 to 7. People listened to 0 to 5: they heard a dog in 0, 1, 3 and no dog in 2, 4, 5. The
# label of 1 is missing, that of 2 is wrong, and that of 3 is of a class that means the same.
LABELS = [["Dog"], [], ["Dog", "Cat"], ["Bark"], ["Cat"], [], ["Cat"], []]
HEARD = "id,start,labels\n" + "".join(
    f"--clip_{clip},{10 * clip},{label}\n"
    for clip, label in enumerate(["dog", "dog;rain", "", "dog", "rain", "cat"])
)
CLASSES = {"Dog": {"heard": ["dog"], "labelled": ["Bark"]}}
# Strategy -> seed -> score of each clip.
SCORES = {
    "random": [[5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 6.0, -1.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]],
    "badge": [[5.0, 6.0, 1.0, 4.0, 0.0, 2.0, 3.0, -1.0], [5.0, 6.0, 1.0, 4.0, 2.0, 0.0, 3.0, -1.0]],
}


class Study:
    """The files of the study; the class Cat is not judged."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.manifests = [folder / "bags" / "test.csv"]
        write_clips(self.manifests[0], LABELS)
        self.heard = folder / "heard.csv"
        self.heard.write_text(HEARD)
        self.settings = settings_of(["Dog", "Cat"], SCORES, name="mine", title="Mine", kind="clips")
        self.runs = [
            (strategy, self.write(class_name, strategy, scores))
            for class_name in ("Dog", "Cat")
            for strategy, scores in SCORES.items()
        ]
        self.tables = folder / "tables"
        self.tables.mkdir()

    def write(self, class_name: str, strategy: str, scores: list[list[float]]) -> Path:
        run = self.folder / "runs" / class_name / strategy
        run.mkdir(parents=True, exist_ok=True)
        pd.concat(
            pd.DataFrame(
                {
                    "seed": seed,
                    "bag": 1000 + np.arange(len(LABELS)),
                    "label": [int(class_name in labels) for labels in LABELS],
                    "score": of_seed,
                }
            )
            for seed, of_seed in enumerate(scores)
        ).to_parquet(run / "scores.parquet")
        record = {"class": class_name, "strategy": strategy, "fingerprint": "f"}
        by_seed = ("n_positive", "n_pool", "budget", "made_with", "thresholds")
        (run / "run.json").write_text(json.dumps(record | {key: {} for key in by_seed}))
        return run
