"""The clips of a class in which somebody corrected labels by listening."""

import sys

import pytest

from weakneg.bags.corrections import correct_clips
from weakneg.bags.draw import UNKNOWN
from weakneg.bags.manifest import CLIP_COLUMNS, clip_label, manifest_lines
from weakneg.config.stages import CorrectionSettings
from weakneg.errors import UserError
from weakneg.io.csv import write_table

CLIPS = {  # id -> start, labels, negatives
    "a.wav": ("0.000", "Dog;Cat", ""),
    "b.wav": ("0.000", "", "Dog;Cat"),
    "c.wav@0": ("0.000", "", ""),
    "c.wav@2.5": ("2.500", "Cat", "Dog"),
}
SETTINGS = CorrectionSettings(folder="mine/sounds", split="train", digest="")


@pytest.fixture(params=[False, True], ids=["unlisted: negative", "unlisted: unknown"])
def unknown(request):
    return request.param


@pytest.fixture
def corrected(tmp_path, unknown):
    """The labels of the clips for a class after corrections by lists with these lines."""

    def corrected(*lines: str, class_name: str = "Dog") -> dict[str, int]:
        columns = (*CLIP_COLUMNS, *["negatives"] * unknown)
        rows = [
            (number, clip, start, 1, labels, *[negatives] * unknown)
            for number, (clip, (start, labels, negatives)) in enumerate(CLIPS.items())
        ]
        write_table(tmp_path / "train.csv", columns, rows)
        heard = tmp_path / f"{abs(hash(lines))}.csv"
        heard.write_text("\n".join(["id,start,labels,negatives,unsure", *lines]) + "\n")
        output = tmp_path / "corrected.csv"
        correct_clips(class_name, SETTINGS, tmp_path / "train.csv", [heard], output)
        found = manifest_lines(output, columns)
        return {values["id"]: clip_label(where, values, class_name) for where, values in found}

    return corrected


def test_a_clip_is_positive_negative_or_left_out_as_it_was_heard(corrected, unknown):
    lines = ("a.wav,0,,Dog,", "mine/sounds/c.wav@2.5,2.5,Dog,,", "b.wav,,,,Dog")
    rest = UNKNOWN if unknown else 0
    assert corrected(*lines) == {"a.wav": 0, "c.wav@0": rest, "c.wav@2.5": 1}


def test_what_was_heard_of_other_classes_changes_nothing(corrected, unknown):
    before = {"a.wav": 1, "b.wav": 0, "c.wav@0": UNKNOWN if unknown else 0, "c.wav@2.5": 1}
    assert corrected("a.wav,0,,Dog,", "b.wav,0,Dog,,", class_name="Cat") == before


def test_recordings_of_the_other_split_are_passed_over(corrected):
    assert len(corrected("elsewhere.wav,0,Dog,,")) == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("c.wav,,Dog,,", "'c.wav' has 2 clips: say in the column start"),
        ("c.wav,1,Dog,,", "no clip of 'c.wav' starts at 1 s, the nearest at 0 s"),
        ("c.wav@0-ch2,0,Dog,,", "'c.wav@0-ch2' has no clip in channel 2"),
    ],
)
def test_a_clip_that_is_not_there_is_named(corrected, line, said):
    with pytest.raises(UserError, match=r"line 2: .*" + said):
        corrected(line)


def test_an_answer_about_another_clip_of_short_ones_is_not_taken_over(corrected, monkeypatch):
    """Those of `predict` at the end, or of --overlap, lie between the clips of a study."""
    short = {f"bat.wav@{start:g}": (f"{start:.3f}", "", "") for start in (0, 1 / 3, 2 / 3)}
    monkeypatch.setattr(sys.modules[__name__], "CLIPS", short)
    assert corrected("bat.wav,0.333333333,Dog,,")["bat.wav@0.333333"] == 1
    for start in ("0.4", "0.166666667", "0.70"):
        with pytest.raises(UserError, match=f"no clip of 'bat.wav' starts at {float(start):g} s"):
            corrected(f"bat.wav,{start},Dog,,")


def test_a_clip_has_one_answer_whatever_lists_call_it(corrected):
    """Pages of clips count the only channel of a recording, those of studies do not."""
    names = ("mine/sounds/c.wav@2.5-ch1,2.5", "c.wav@2.5,")
    assert corrected(*(f"{name},Dog,," for name in names))["c.wav@2.5"] == 1
    with pytest.raises(UserError, match=r"'Dog' in .* is corrected twice"):
        corrected(f"{names[0]},Dog,,", f"{names[1]},,Dog,")
