"""Lists of what somebody heard in clips, as pages save them and as people change them."""

import pytest

from weakneg.datasets.corrections import read_corrections, recording_of
from weakneg.errors import UserError

SAVED = """\
id,start,labels,negatives,unsure
a.wav,0,Dog,,
b.wav@5,5,,Dog,
c.wav,0,,,Dog
d.wav,0,Cat,Dog;Owl,
"""
OLD = "id,start,labels\na.wav,0,Dog\nb.wav,0,\n"  # saved by pages without the column negatives


@pytest.fixture
def read(tmp_path):
    def read(text: str) -> dict[tuple[str, float | None, str], str]:
        path = tmp_path / f"{abs(hash(text))}.csv"  # lists are read once
        path.write_text(text)
        found = read_corrections(str(path))
        return {(each.id, each.start, each.class_name): each.answer for each in found}

    return read


def test_a_list_says_for_each_clip_and_class_whether_it_was_heard(read):
    assert read(SAVED) == {
        ("a.wav", 0.0, "Dog"): "yes",
        ("b.wav@5", 5.0, "Dog"): "no",
        ("c.wav", 0.0, "Dog"): "unsure",
        ("d.wav", 0.0, "Cat"): "yes",
        ("d.wav", 0.0, "Dog"): "no",
        ("d.wav", 0.0, "Owl"): "no",
    }


def test_in_marks_of_older_pages_a_line_without_a_label_is_about_the_class_of_the_others(read):
    assert read(OLD) == {("a.wav", 0.0, "Dog"): "yes", ("b.wav", 0.0, "Dog"): "no"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,start\na.wav,0\n", "has no column labels"),
        ("id,labels\na.wav,\n", "names no class: say in that column"),
        ("id,labels\na.wav,Dog\nb.wav,Cat\nc.wav,\n", "names 'Cat' and 'Dog'"),
        ("id,labels,negatives\na.wav,,\n", "line 2: 'a.wav' has neither labels nor negatives"),
        ("id,start,labels\na.wav,1:30,Dog\n", "line 2: start is '1:30', but must be in seconds"),
        ("id,labels,negatives\na.wav,Dog,\na.wav,,Dog\n", "'Dog' in 'a.wav' is corrected twice"),
        ("id,labels,negatives\na.wav,Dog,Dog\n", "with 'yes' and with 'no': keep one"),
        ("id,labels\n", "corrects nothing"),
        ("id,labels\na.wav,Dog,Cat\n", "line 2 has 3 values, the header has 2"),
    ],
)
def test_a_bad_line_is_refused_in_one_sentence(read, text, said):
    with pytest.raises(UserError) as error:
        read(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("clip", "recording"),
    [
        ("night/a.wav", "night/a.wav"),
        ("night/a.wav@2.5", "night/a.wav"),
        ("../mine/sounds/night/a.wav@2.5", "night/a.wav"),
        ("/home/me/sounds/night/a.wav", "night/a.wav"),
        ("C:\\mine\\sounds\\night\\a.wav", "night/a.wav"),
        ("odd@name.wav", "odd@name.wav"),
        ("sounds/b.flac@0", "b"),
        ("other/a.wav", None),
        ("@2", None),
    ],
)
def test_a_clip_is_of_the_recording_that_its_path_leads_to(clip, recording):
    assert recording_of(clip, {"night/a.wav", "odd@name.wav", "b"}, "../mine/sounds") == recording


@pytest.mark.parametrize(
    ("known", "recording"),
    [
        ({"n.wav", "2020/sounds/n.wav"}, "2020/sounds/n.wav"),
        ({"n", "2020/sounds/n"}, "2020/sounds/n"),
        ({"n.wav"}, "n.wav"),
    ],
)
def test_a_folder_of_the_same_name_inside_the_folder_is_part_of_the_path(known, recording):
    assert recording_of("/home/me/sounds/2020/sounds/n.wav", known, "sounds") == recording
