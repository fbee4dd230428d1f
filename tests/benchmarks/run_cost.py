"""What a run costs, beside the same run in another way.

    python tests/benchmarks/run_cost.py --against cold --rounds 3 -- digits
    python tests/benchmarks/run_cost.py --against e7e9c8f --rounds 2 -- digits soundscapes
    python tests/benchmarks/run_cost.py --against e7e9c8f --rounds 4 --edit OLD NEW -- digits

The words after -- are given to Snakemake. The other way is `cold`, where jobs are not forks of a
server but import all they need, or a commit of this repository, with today's packages. In each
round both run, one after the other: from nothing or, with --edit, after a text of one source file
is replaced, and in the next round put back. Times are those of the processor, of Snakemake,
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
    else:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        subprocess.run(["git", "-C", folder, "checkout", "--quiet", against], check=True)
    return program(folder)


def program(folder: Path) -> Run:
    """Snakemake in a folder of sources, as a program, whose processor time is counted."""
    path = os.pathsep.join([str(BINARIES), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "workflow")}
    command = [BINARIES / "snakemake", "--cores", "2"]
    return lambda words: subprocess.run(
        [*command, *words], cwd=folder, env=environment, check=True, capture_output=True
    )


def clear(folder: Path) -> None:
    for made in ("results", ".snakemake"):
        shutil.rmtree(folder / made, ignore_errors=True)


def replace(folder: Path, old: str, new: str) -> None:
    """Edit the one source file that has the text, once."""
    [file] = [path for path in (folder / "workflow").rglob("*.py") if old in path.read_text()]
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
    file.write_text(text.replace(old, new))


def cost(run: Run, words: list[str]) -> tuple[float, float]:
    """Processor time and wall time of a run, in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run(words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", default="cold")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--edit", nargs=2, metavar=("OLD", "NEW"))
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        folders = {"now": Path(here), args.against: Path(there)}
        Workspace(Path(here), shorter=False)
        runs: dict[str, Run] = {
            "now": program(Path(here)),
            args.against: other(args.against, Path(there)),
        }
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        edit = args.edit
        for run in runs.values() if edit else ():
            run(args.words)
        for number in range(args.rounds):
            for name, run in runs.items():
                if edit:
                    replace(folders[name], *edit)
                else:
                    clear(folders[name])
                costs[name].append(cost(run, args.words))
                used, wall = costs[name][-1]
                print(
                    f"round {number}  {name}: {used:.1f} s, {wall:.1f} s by the clock", flush=True
                )
            edit = edit and edit[::-1]
    for which, said in enumerate(("processor", "wall")):
        of = {name: median(each[which] for each in found) for name, found in costs.items()}
        print(f"{said}: now / {args.against} = {of['now'] / of[args.against]:.2f}")


if __name__ == "__main__":
    main()
