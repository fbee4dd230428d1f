#!/bin/sh
# crowsetta 5.1.0: whether a selection table of Raven can be read depends on the digits in it, and
# labels are not read as they are written.
#
# crowsetta.formats.bbox.Raven.from_file lets pandas guess the type of each column and then requires
# float64 times. A table in which every Begin Time is a whole number ("1" instead of "1.0", as for
# selections that a program makes on a grid of seconds) is refused, and so are a table with a
# selection whose label is still blank, a table without selections, and a species code "NA". Codes
# of digits are changed without a word: "007" becomes "7".
#
# Output seen, with pandas 3.1.1 and pandera 0.35.0:
#
#     times 1.5 to 2.5 s, label Owl: ['Owl']
#     times 1 to 2 s: SchemaError
#     a blank label beside another one: SchemaError
#     no selections: ValueError
#     label NA: SchemaError
#     label 007: ['7']
#
# Exits with 0 if this still happens, with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    crowsetta==5.1.0 pandas==3.1.1 pandera==0.35.0
cd "$folder"
DISABLE_PANDERA_IMPORT_WARNING=True "$folder/venv/bin/python" - <<'PYTHON'
import sys

import crowsetta

HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies"
FULL = "1\tSpectrogram 1\t1\t1.5\t2.5\t500.0\t900.0"
CASES = {
    "times 1.5 to 2.5 s, label Owl": ([f"{FULL}\tOwl"], "['Owl']"),
    "times 1 to 2 s": (["1\tSpectrogram 1\t1\t1\t2\t500.0\t900.0\tOwl"], "SchemaError"),
    "a blank label beside another one": ([f"{FULL}\tOwl", f"{FULL}\t"], "SchemaError"),
    "no selections": ([], "ValueError"),
    "label NA": ([f"{FULL}\tNA"], "SchemaError"),
    "label 007": ([f"{FULL}\t007"], "['7']"),
}

changed = False
for case, (rows, expected) in CASES.items():
    with open("table.txt", "w") as file:
        file.write("\n".join([HEADER, *rows]) + "\n")
    try:
        table = crowsetta.formats.bbox.Raven.from_file("table.txt", annot_col="Species")
        result = str([str(box.label) for box in table.to_annot().bboxes])
    except Exception as error:
        result = type(error).__name__
    print(f"{case}: {result}")
    changed |= result != expected
sys.exit(changed)
PYTHON
