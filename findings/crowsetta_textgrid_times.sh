#!/bin/sh
# crowsetta 5.1.2: times of a TextGrid that Praat writes with an exponent are read as other times.
#
# Praat writes a time as 1e-05 if it is below 0.0001, which boundaries at "0 seconds" often are after
# arithmetic (2.220446049250313e-16). crowsetta.formats.seq.TextGrid.from_file takes the digits at
# the end of the line for the number, so that an event at the start of a recording is 5 or 16 seconds
# later, without a word; a negative time loses its sign. Quotes within a label stay doubled, and a
# label of two lines, which Praat permits, ends in an AttributeError.
#
# praatio 6.2.2 refuses times with an exponent in the long format, with an error, and reads them in the
# short one; it reads labels of two lines, and quotes stay doubled only in points of the long format.
#
# Output seen, with pandas 2.3.3 and pandera 0.35.0:
#
#     long, 0.5, 'Owl': crowsetta [(0.5, 'Owl')], praatio [(0.5, 'Owl')]
#     long, 5e-05, 'Owl': crowsetta [(5.0, 'Owl')], praatio ParsingError
#     short, 5e-05, 'Owl': crowsetta [(5.0, 'Owl')], praatio [(5e-05, 'Owl')]
#     long, 2.220446049250313e-16, 'Owl': crowsetta [(16.0, 'Owl')], praatio ParsingError
#     long, 0.5, 'the ""big"" owl': crowsetta [(0.5, 'the ""big"" owl')], praatio [(0.5, 'the ""big"" owl')]
#     long, 0.5, 'Owl\nand fox': crowsetta AttributeError, praatio [(0.5, 'Owl\nand fox')]
#
# Exits with 0 if this still happens, with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    crowsetta==5.1.2 pandas==2.3.3 pandera==0.35.0 praatio==6.2.2
cd "$folder"
DISABLE_PANDERA_IMPORT_WARNING=True "$folder/venv/bin/python" - <<'PYTHON'
import sys

import crowsetta
from praatio import textgrid

LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 30
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "TextTier"
        name = "calls"
        xmin = 0
        xmax = 30
        points: size = 1
        points [1]:
            number = {time}
            mark = "{label}"
'''
SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
30
<exists>
1
"TextTier"
"calls"
0
30
1
{time}
"{label}"
'''
CASES = [
    (LONG, "0.5", "Owl", "[(0.5, 'Owl')]"),
    (LONG, "5e-05", "Owl", "[(5.0, 'Owl')]"),
    (SHORT, "5e-05", "Owl", "[(5.0, 'Owl')]"),
    (LONG, "2.220446049250313e-16", "Owl", "[(16.0, 'Owl')]"),
    (LONG, "0.5", 'the ""big"" owl', "[(0.5, 'the \"\"big\"\" owl')]"),
    (LONG, "0.5", "Owl\nand fox", "AttributeError"),
]


def by_crowsetta():
    (tier,) = crowsetta.formats.seq.TextGrid.from_file("a.TextGrid").tiers
    return [(point.number, point.mark) for point in tier.points]


def by_praatio():
    (tier,) = textgrid.openTextgrid("a.TextGrid", False, reportingMode="silence").tiers
    return [tuple(point) for point in tier.entries]


def result(read):
    try:
        return str(read())
    except Exception as error:
        return type(error).__name__


changed = False
for form, time, label, expected in CASES:
    with open("a.TextGrid", "w") as file:
        file.write(form.format(time=time, label=label))
    kind = "long" if form is LONG else "short"
    found = result(by_crowsetta)
    print(f"{kind}, {time}, {label!r}: crowsetta {found}, praatio {result(by_praatio)}")
    changed |= found != expected
sys.exit(changed)
PYTHON
