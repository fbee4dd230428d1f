"""What a run costs with jobs that are forks of a server, and with jobs that import all they need.

    python tests/benchmarks/warm_jobs.py --rounds 3 -- digits

The words after -- are given to Snakemake. In each round both run, from nothing, one after the
other. Times are those of the processor, of Snakemake, its server and all jobs, and by the clock.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from workspace import Workspace


def cost(workspace: Workspace, arguments: list[str]) -> tuple[float, float]:
    """Processor time and wall time of a run, in seconds."""
    for made in ("results", ".snakemake"):
        shutil.rmtree(workspace.folder / made, ignore_errors=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    workspace.run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("arguments", nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as warm, tempfile.TemporaryDirectory() as cold:
        workspaces = {"warm": Workspace(Path(warm)), "cold": Workspace(Path(cold))}
        workspaces["cold"].edit("Snakefile", "        warm.start()\n", "        pass\n")
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in workspaces}
        for number in range(args.rounds):
            for name, workspace in workspaces.items():
                costs[name].append(cost(workspace, args.arguments))
                used, wall = costs[name][-1]
                print(
                    f"round {number}  {name}: {used:.1f} s, {wall:.1f} s by the clock", flush=True
                )
    for which, said in enumerate(("processor", "wall")):
        of = {name: median(each[which] for each in found) for name, found in costs.items()}
        print(f"{said}: cold / warm = {of['cold'] / of['warm']:.2f}")


if __name__ == "__main__":
    main()
