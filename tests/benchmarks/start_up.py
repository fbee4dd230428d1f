"""What of a run is start-up, and the memory of each stage.

    python tests/benchmarks/start_up.py -- digits soundscapes

The words after -- are given to Snakemake, which makes them from nothing. Start-up is all processor
time outside the functions of the stages: Snakemake's, its server's, and each job's until its
function begins. Memory is the largest resident set of a job of a stage, in MiB; jobs share a part
of it with the server that they are forks of.
"""

import argparse
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from run_cost import cost, program
from workspace import Workspace

CALL = "    return function(*by_position, **options) or 0\n"
MEASURED = """\
    import resource, time
    began = time.process_time()
    try:
{call}    finally:
        seconds = time.process_time() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with open({record!r}, "a") as file:
            print(name, seconds, memory, file=file)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record")
        call = MEASURED.format(call=f"    {CALL}", record=str(record))
        workspace = Workspace(Path(folder), shorter=False)
        workspace.edit("workflow/weakneg/command_line.py", CALL, call)
        used, wall = cost(program(workspace.folder), args.words)
        seconds, jobs, memory = Counter[str](), Counter[str](), defaultdict[str, float](float)
        for line in record.read_text().splitlines():
            stage, of_job, peak = line.split()
            jobs[stage] += 1
            seconds[stage] += float(of_job)
            memory[stage] = max(memory[stage], float(peak))
    print("| stage | jobs | seconds | MiB |\n|---|---:|---:|---:|")
    for stage, of_stage in seconds.most_common():
        print(f"| {stage} | {jobs[stage]} | {of_stage:.1f} | {memory[stage]:.0f} |")
    outside = used - seconds.total()
    print(
        f"\n{used:.1f} s, {wall:.1f} s by the clock; start-up {outside:.1f} s, {outside / used:.0%}"
    )


if __name__ == "__main__":
    main()
