"""What single jobs cost as forks of the server, beside those of another checkout.

    python tests/benchmarks/job_cost.py --folder WORKSPACE --against CHECKOUT score_run draw_bags

Of each rule that is named, a job that was run in the workspace is run again, by both in turn. The
code of its stage must be the same in both, and as it was run. Times are those of the processor, of
the forks alone, once the server has imported what they need.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import median

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from workspace import BINARIES, ROOT

from weakneg.jobs.warm import ONE_THREAD

STARTER = """
import os, sys
from weakneg.jobs import warm
from weakneg.workspace import fingerprint
warm.start()
digest = getattr(fingerprint, "digest_of_sources", str)()
print(warm.address(), digest, flush=True)
sys.stdin.read()
"""


class Jobs:
    """Jobs of a checkout, as forks of a server."""

    def __init__(self, checkout: Path):
        path = os.pathsep.join([str(BINARIES), os.environ["PATH"]])
        library = {"PYTHONPATH": str(checkout / "workflow"), "WEAKNEG_LOCAL_COPIES": "{}"}
        self.environment = os.environ | ONE_THREAD | library | {"PATH": path}
        self.starter = subprocess.Popen(
            [sys.executable, "-c", STARTER],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        address, *digest = self.starter.stdout.readline().split()
        self.environment |= {"WEAKNEG_WARM": address, "WEAKNEG_SOURCES": "".join(digest)}
        [self.server] = psutil.Process(self.starter.pid).children()

    def seconds(self, words: list[str], folder: Path) -> float:
        """Processor time of the fork that does a job."""
        before = self.server.cpu_times()
        subprocess.run(words, cwd=folder, env=self.environment, check=True)
        after = self.server.cpu_times()
        return sum(
            getattr(after, name) - getattr(before, name)
            for name in ("children_user", "children_system")
        )


def command(folder: Path, rule: str) -> list[str]:
    """The command of a job of a rule, as Snakemake recorded it."""
    for file in sorted((folder / ".snakemake/metadata").iterdir()):
        record = json.loads(file.read_text())
        if record["rule"] == rule:
            return shlex.split(record["shellcmd"].split(" 2> ")[0])
    sys.exit(f"no job of {rule} was run in {folder}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--against", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("rules", nargs="+")
    args = parser.parse_args()
    ways = [Jobs(ROOT), Jobs(args.against.resolve())]
    commands = {rule: command(args.folder, rule) for rule in args.rules}
    for jobs in ways:
        for words in commands.values():
            jobs.seconds(words, args.folder)  # for the server to learn
    for rule, words in commands.items():
        found = [[jobs.seconds(words, args.folder) for jobs in ways] for _ in range(args.rounds)]
        now, before = (median(column) for column in zip(*found, strict=True))
        print(f"{rule}: {now:.2f} s, before {before:.2f} s: {now / before:.2f}", flush=True)
    for jobs in ways:
        jobs.starter.communicate()


if __name__ == "__main__":
    main()
