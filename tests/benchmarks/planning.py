"""How long Snakemake takes to plan all studies, and the least that it can take for as many jobs.

    python tests/benchmarks/planning.py --rounds 3

The least is a Snakefile of as many jobs and files, without parameters, resources or checks; and
the same where reports read nearly as many files of each run as in the workflow.
All plan from nothing, and with everything done. Times are those of the processor.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from run_cost import cost, program
from workspace import ROOT, Workspace

# The files of a run that reports read: one of all runs, or those of most studies of clips.
ONE_REPORT = [["scores", "history", "timing", "json"]]
REPORTS = [
    *ONE_REPORT,
    *(["selection", "json"], ["model.pt", "scores"], ["scores", "json"]),
    *(["history", "timing", "json"], ["history", "json"]),
]

FLOOR = """\
FILES = ["model.pt", "history", "timing", "selection", "json"]
GROUPS = range({groups})
REPORTS = {reports}

rule all:
    input:
        expand("made/report/{{number}}/{{group}}.txt", number=range(len(REPORTS)), group=GROUPS),
        expand("made/alone/{{n}}.txt", n=range({alone})),

rule store:
    output: "made/{{group}}/store.h5"
    log: "made/logs/store/{{group}}.log"
    shell: "touch {{output}}"

rule alone:
    output: "made/alone/{{n}}.txt"
    log: "made/logs/alone/{{n}}.log"
    shell: "touch {{output}}"

rule train:
    input: lambda wildcards: f"made/{{int(wildcards.run) % {groups}}}/store.h5"
    output: expand("made/{{{{run}}}}/{{name}}", name=FILES)
    log: "made/logs/train/{{run}}.log"
    shell: "touch {{output}}"

rule score:
    input: "made/{{run}}/model.pt"
    output: "made/{{run}}/scores"
    log: "made/logs/score/{{run}}.log"
    shell: "touch {{output}}"

for number, names in enumerate(REPORTS):

    rule:
        name: f"report{{number}}"
        input:
            lambda wildcards, names=names: expand(
                "made/{{run}}/{{name}}",
                run=range(int(wildcards.group), {runs}, {groups}),
                name=names,
            )
        output: f"made/report/{{number}}/{{{{group}}}}.txt"
        log: f"made/logs/report/{{number}}/{{{{group}}}}.log"
        shell: "touch {{output}}"
"""


class Floor(Workspace):
    """A folder with the Snakefile above."""

    def __init__(self, folder: Path, jobs: Counter, groups: int, reports: list[list[str]]):
        runs = jobs["train_run"]
        self.folder = folder
        folder.mkdir()
        alone = sum(jobs.values()) - 2 * runs - (1 + len(reports)) * groups
        text = FLOOR.format(runs=runs, groups=groups, alone=alone, reports=reports)
        (folder / "Snakefile").write_text(text)


def seconds(workspace: Workspace, *targets: str) -> float:
    """Processor time of a dry run, as a program."""
    used, _ = cost(program(workspace.folder), ["--dry-run", "--quiet", "all", "--", *targets])
    return used


def finish(workspace: Workspace, *targets: str) -> None:
    """Let Snakemake believe that all is done: empty files, and its own records of them."""
    summary = workspace.snakemake(*targets, "--summary").stdout.splitlines()
    for line in summary[1:]:
        path = workspace.folder / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    result = workspace.snakemake(*targets, "--touch", "--cores", "1", "--quiet", "all")
    assert result.returncode == 0, result.stderr
    assert workspace.planned(*targets) == {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    studies = [path.stem for path in sorted((ROOT / "workflow/studies").glob("*.yaml"))]
    os.environ.pop("WEAKNEG_DATA", None)
    with tempfile.TemporaryDirectory() as folder:
        (ours := Path(folder, "ours")).mkdir()
        workspace = Workspace(ours, shorter=False)
        jobs = Counter(workspace.planned(*studies))
        floors = [
            Floor(Path(folder, name), jobs, len(studies), reports)
            for name, reports in (("files", ONE_REPORT), ("inputs", REPORTS))
        ]
        for floor in floors:
            assert sum(floor.planned().values()) == sum(jobs.values())
        print(f"{len(studies)} studies, {sum(jobs.values())} jobs", flush=True)
        for state in ("from nothing", "all done"):
            if state == "all done":
                finish(workspace, *studies)
                for floor in floors:
                    finish(floor)
            for _ in range(args.rounds):
                mine = seconds(workspace, *studies)
                least, with_inputs = map(seconds, floors)
                print(
                    f"{state}: {mine:.2f} s; at least {least:.2f} s: {mine / least:.2f}; with the"
                    f" inputs of reports {with_inputs:.2f} s: {mine / with_inputs:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
