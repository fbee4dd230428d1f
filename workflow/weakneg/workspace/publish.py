"""Copy the metrics, tables and figures of a finished study, with the record of their making."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
from pydantic import ValidationError

from weakneg.analysis.metrics import read_metrics
from weakneg.analysis.runs import read_run
from weakneg.config.stages import RunSettings
from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole
from weakneg.plugins import is_own
from weakneg.stages import command
from weakneg.workspace.provenance import git, new_files
from weakneg.workspace.results import code_of


@command
def publish(results: Path, target: Path, command: str, wall_time: str) -> None:
    """Copy a finished study's metrics, tables and figures, with the record of their making.

    The record, provenance.json, contains the command, the wall time, the commit of the repository
    in the working directory (whose code must be that of the runs), the versions, machines and code
    fingerprints of the runs, their total training time, the SHA-256 of the user's own strategies
    and losses (which need not be in the repository), and that of the feature stores (for audio,
    including their shards), whose bytes depend only on the data.

    Parameters
    ----------
    results : Path
        Folder of the finished study, results/<study>.
    target : Path
        Folder for the copy and its provenance.json.
    command : str
        The command that made the results.
    wall_time : str
        How long it took, in words.

    Raises
    ------
    UserError
        When the study is not finished, or was made by other code than that of this commit.
    """
    if results.resolve() == target.resolve():
        raise UserError(f"{target} contains the results themselves: publish to another folder.")
    for part in ("metrics.csv", "tables", "figures"):
        if not (results / part).exists():
            raise UserError(f"{results / part} does not exist: finish the study first.")
    metrics = read_metrics(results / "metrics.csv")
    # Strategies that choose the same bags share a run; it is counted once.
    runs = _runs(results, set(metrics["fingerprint"]))
    trained = metrics.drop_duplicates(["class", "seed", "fingerprint", "ap", "seconds"])
    provenance = {
        "study": results.name,
        "command": command,
        "commit": _commit(),
        "wall_time": wall_time,
        "seeds": sorted(metrics["seed"].unique().tolist()),
        "trained_models": len(trained),
        "training_hours": round(trained["seconds"].sum() / 3600, 2),
        "machines": sorted(metrics["device"].unique()),
        "versions": _versions(runs),
        "fingerprints": metrics.groupby("strategy")["fingerprint"].unique().map(list).to_dict(),
        "own_files_sha256": _own_files(runs),
        "features_sha256": {
            split: _digest(results / "features" / f"{split}.h5") for split in ("train", "test")
        },
    }
    with replace_when_whole(target / "provenance.json") as path:
        path.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
        # Everything is copied before anything is replaced.
        for part in ("tables", "figures"):
            shutil.copytree(results / part, path.parent / part, ignore=shutil.ignore_patterns(".*"))
        shutil.copy(results / "metrics.csv", path.parent)
        for part in ("tables", "figures"):
            shutil.rmtree(target / part, ignore_errors=True)
        for part in ("tables", "figures", "metrics.csv"):
            os.replace(path.parent / part, target / part)


def _digest(store: Path) -> str:
    """SHA-256 of a feature store, including the shards that it links to."""
    shards = []
    with h5py.File(store, locking=False) as file:
        if file["x"].is_virtual:
            shards = [store.parent / source.file_name for source in file["x"].virtual_sources()]
    digest = hashlib.sha256()
    for path in (store, *shards):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _runs(results: Path, fingerprints: set[str]) -> list[dict[str, Any]]:
    """The records of the runs. Raises UserError for runs made by other code."""
    found = []
    for path in sorted(results.glob("runs/*/*/run.json")):
        run = read_run(path.parent)
        if run["fingerprint"] not in fingerprints:
            continue  # left over from a larger grid
        if run["fingerprint"] != _current_fingerprint(run["settings"]):
            raise UserError(
                f"{path} was made by other code than that of this commit: run the study again."
            )
        found.append(run)
    if fingerprints - {run["fingerprint"] for run in found}:
        raise UserError(
            f"{results / 'metrics.csv'} has runs that {results / 'runs'} does not hold: run the "
            "study again."
        )
    return found


def _versions(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The versions that made the runs."""
    versions = {
        json.dumps({k: v for k, v in made_with.items() if k != "device"})
        for run in runs
        for made_with in run["made_with"].values()
    }
    return [json.loads(text) for text in sorted(versions)]


def _own_files(runs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """SHA-256 of the user's own plugins that made the runs, by path."""
    plugins = {each for run in runs for each in RunSettings.model_validate(run["settings"]).plugins}
    paths = sorted(plugin.partition(".")[2] for plugin in plugins if is_own(plugin))
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths}


def _current_fingerprint(settings: Mapping[str, Any]) -> str | None:
    """Fingerprint of the code that would train such a run; None if the settings are not valid."""
    try:
        return code_of(RunSettings.model_validate(settings))[0]
    except ValidationError:
        return None


def _commit() -> str:
    try:
        changes = git("status", "--porcelain", "--untracked-files=no") + new_files()
        commit = git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError("the commit is unknown: publish from a clone of the repository.") from error
    if changes:
        raise UserError(
            "the repository has uncommitted changes: commit them, run again and publish."
        )
    return commit
