"""A study of short runs on a cluster: a job per run, groups of runs, or all in one allocation.

python tests/benchmarks/slurm_packing.py [--rounds 1]

Starts the Slurm of the tests. Each way has two GPUs or two cores, and starts from the same bags.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from slurm_cluster import Cluster
from workspace import Workspace

STUDY = """\
title: Short
extends: digits
classes: ["0"]
strategies: [random, badge, margin, gradient_embedding]
seeds: 2
training: {epochs: 8}
"""
TARGET = ["--config", "studies=short.yaml", "--", "results/short/metrics.csv"]
GRES = [f"{rule}:{gpu}" for rule in ("train_run", "score_run") for gpu in ("gpu=0", "gres=gpu:1")]
PROFILE = ["snakemake", "--profile", "slurm", "--jobs", "2"]
SBATCH = ["sbatch", "--wait", "--cpus-per-task=2", "slurm/allocation.sh"]
WAYS = {
    "a job per run": PROFILE,
    "groups of four runs": [*PROFILE, "--group-components", "run=4", "--set-resources", *GRES],
    "one allocation": SBATCH,
}


def seconds(command: list[str], cluster: Cluster, folder: Path) -> float:
    """What a run of the study takes from the bags on."""
    workspace = Workspace(folder, shorter=False)
    (folder / "short.yaml").write_text(STUDY)
    workspace.run("--until", "draw_bags", *TARGET)
    workspace.before_path = (str(cluster.folder / "bin"),)
    begun = time.perf_counter()
    result = subprocess.run(
        [*command, *TARGET],
        cwd=folder,
        env=workspace.environment() | {"SLURM_CONF": cluster.environment["SLURM_CONF"]},
        capture_output=True,
        text=True,
    )
    assert (folder / "results/short/metrics.csv").exists(), result.stdout + result.stderr
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cluster").mkdir()
        cluster = Cluster(Path(folder) / "cluster", port=16917)
        try:
            for number in range(rounds):
                for way, command in WAYS.items():
                    workspace = Path(folder) / f"{way.replace(' ', '_')}_{number}"
                    workspace.mkdir()
                    print(f"{way}: {seconds(command, cluster, workspace):.0f} s", flush=True)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
