"""Copy what people read of a finished study, with the record of how it came about."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from weakneg.errors import UserError
from weakneg.evaluation import read_metrics, read_run
from weakneg.files import replace_when_whole


def publish(
    results: str | os.PathLike, target: str | os.PathLike, command: str, wall_time: str
) -> None:
    """Copy metrics, tables and figures of the study in `results` to `target`, add provenance.json.

    command : the command that made the results; wall_time : how long it took, in words

    provenance.json names both, the commit (taken from the repository in the working directory), the
    versions, machine kind and code fingerprints of the runs, their training time in all, and the
    SHA-256 of the feature stores, whose bytes depend on the data alone.

    Raises UserError when the study is not finished or the commit cannot be told.
    """
    results, target = Path(results), Path(target)
    for part in ("metrics.csv", "tables", "figures"):
        if not (results / part).exists():
            raise UserError(f"{results / part} does not exist: finish the study first.")
    runs = [read_run(path.parent) for path in sorted(results.glob("runs/*/*/run.json"))]
    metrics = read_metrics(results / "metrics.csv")
    trained = metrics[metrics["strategy"].isin({run["strategy"] for run in runs})]
    provenance = {
        "study": results.name,
        "command": command,
        "commit": _commit(),
        "wall_time": wall_time,
        "training_hours": round(trained["seconds"].sum() / 3600, 2),
        "trained_models": len(trained),
        "machines": sorted({run["device"] for run in runs}),
        "versions": _only_one({json.dumps(run["versions"], sort_keys=True) for run in runs}),
        "fingerprints": {run["strategy"]: run["fingerprint"] for run in runs},
        "features_sha256": {
            split: hashlib.sha256((results / "features" / f"{split}.h5").read_bytes()).hexdigest()
            for split in ("train", "test")
        },
    }
    for part in ("tables", "figures"):
        shutil.rmtree(target / part, ignore_errors=True)
        shutil.copytree(results / part, target / part)
    shutil.copy(results / "metrics.csv", target / "metrics.csv")
    with replace_when_whole(target / "provenance.json") as path:
        path.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")


def _only_one(versions: set[str]) -> dict:
    if len(versions) != 1:
        raise UserError(f"the runs were made with different versions ({'; '.join(versions)}).")
    return json.loads(versions.pop())


def _commit() -> str:
    try:
        changes = _git("status", "--porcelain", "--untracked-files=no")
        commit = _git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError("the commit is unknown: publish from a clone of the repository.") from error
    if changes:
        raise UserError("files of the repository are changed: commit them, run again and publish.")
    return commit


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return result.stdout.strip()
