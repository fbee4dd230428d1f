"""What a run costs, beside the same run in another way.

    python tests/benchmarks/run_cost.py --against cold --rounds 3 -- digits
    python tests/benchmarks/run_cost.py --against e7e9c8f --rounds 2 -- digits soundscapes

The words after -- are given to Snakemake. The other way is `cold`, where jobs are not forks of a
server but import all they need, or a commit of this repository, with today's packages. In each
round both run, from nothing, one after the other. Times are those of the processor, of Snakemake,
its server and all jobs, and by the clock.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from workspace import BINARIES, ROOT, Workspace

Run = Callable[[list[str]], object]


def other(against: str, folder: Path) -> Run:
    """The other way, in an empty folder."""
    if against == "cold":
        workspace = Workspace(folder, shorter=False)
        workspace.edit("Snakefile", "        warm.start()\n", "        pass\n")
        return lambda words: workspace.run(*words)
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    subprocess.run(["git", "-C", folder, "checkout", "--quiet", against], check=True)
    path = os.pathsep.join([str(BINARIES), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "workflow")}
    command = [BINARIES / "snakemake", "--cores", "2"]
    return lambda words: subprocess.run(
        [*command, *words], cwd=folder, env=environment, check=True, capture_output=True
    )


def cost(run: Run, folder: Path, words: list[str]) -> tuple[float, float]:
    """Processor time and wall time of a run from nothing, in seconds."""
    for made in ("results", ".snakemake"):
        shutil.rmtree(folder / made, ignore_errors=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run(words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", default="cold")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        folders = {"now": Path(here), args.against: Path(there)}
        workspace = Workspace(Path(here), shorter=False)
        workspace.before_path = ()
        runs: dict[str, Run] = {
            "now": lambda words: workspace.run(*words),
            args.against: other(args.against, Path(there)),
        }
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for number in range(args.rounds):
            for name, run in runs.items():
                costs[name].append(cost(run, folders[name], args.words))
                used, wall = costs[name][-1]
                print(
                    f"round {number}  {name}: {used:.1f} s, {wall:.1f} s by the clock", flush=True
                )
    for which, said in enumerate(("processor", "wall")):
        of = {name: median(each[which] for each in found) for name, found in costs.items()}
        print(f"{said}: now / {args.against} = {of['now'] / of[args.against]:.2f}")


if __name__ == "__main__":
    main()
