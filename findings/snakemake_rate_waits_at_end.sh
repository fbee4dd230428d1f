#!/bin/sh
# snakemake 9.27.1: the time of `--max-jobs-per-timespan` is waited once more after the last job.
#
# The option limits how many jobs start in a time, such as 50/1m. A workflow with a single job, far
# below the limit, lasts that much longer all the same: everything is done and said, but the process
# ends only when the timer has run out that was to look for more jobs. The default is 100/1s, so each
# run that does anything lasts a second longer. One with nothing to do ends at once.
#
# Output seen, seconds after the last line that Snakemake prints:
#
#     --max-jobs-per-timespan 100/1s: 1.2
#     --max-jobs-per-timespan 100/6s: 6.3
#     nothing to do, 100/6s: 0.2
#
# Exits with 0 if this still happens, with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat >"$folder/Snakefile" <<'SNAKEFILE'
rule touch:
    output: "done"
    shell: "touch {output}"
SNAKEFILE
cat >"$folder/measure.py" <<'PYTHON'
import subprocess
import sys
import time
from pathlib import Path

done = Path("done")


def seconds_after_last_line(timespan):
    words = [f"{sys.prefix}/bin/snakemake", "--cores", "1"]
    run = subprocess.Popen(
        [*words, "--max-jobs-per-timespan", timespan],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    last = time.monotonic()
    for _ in run.stderr:
        last = time.monotonic()
    assert run.wait() == 0 and done.exists()
    return time.monotonic() - last


found = {}
for timespan in ("100/1s", "100/6s"):
    done.unlink(missing_ok=True)
    found[timespan] = seconds_after_last_line(timespan)
    print(f"--max-jobs-per-timespan {timespan}: {found[timespan]:.1f}")
idle = seconds_after_last_line("100/6s")
print(f"nothing to do, 100/6s: {idle:.1f}")
sys.exit(not (found["100/6s"] > 5 and found["100/6s"] - found["100/1s"] > 3 and idle < 3))
PYTHON
cd "$folder"
"$folder/venv/bin/python" measure.py
