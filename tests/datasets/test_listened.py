"""Lists of what people heard: each clip once, and every mistake is one sentence."""

import hashlib
import os
from pathlib import Path

import pytest

from weakneg.datasets import listened
from weakneg.datasets.listened import HeardClip, fetch_truth, match_clips, read_heard
from weakneg.errors import UserError

DATA = Path(os.environ.get("WEAKNEG_DATA", os.devnull)) / "audioset"
HEADER = "filename\tonset\toffset\tevent_label\n"


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.fixture
def write(tmp_path):
    def make(text: str, name: str = "heard.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return make


def test_the_sounds_of_a_clip_in_desed_format_are_put_together(write):
    lines = [
        "Y-a_b_30.000_40.000.wav\t0\t1\tDog\n",
        "Yquiet_0.000_10.000.wav\t\t\t\n",
        "Y-a_b_30.000_40.000.wav\t2\t3\tSpeech\n",
        "Y-a_b_30.000_40.000.wav\t4\t5\tDog\n",
    ]
    assert read_heard(write(HEADER + "".join(lines), "heard.tsv")) == [
        HeardClip(
            "-a_b",
            30.0,
            frozenset({"Dog", "Speech"}),
            (("Dog", 0.0, 1.0), ("Speech", 2.0, 3.0), ("Dog", 4.0, 5.0)),
        ),
        HeardClip("quiet", 0.0, frozenset()),
    ]


def test_a_list_in_desed_format_may_lack_the_times_but_not_have_other_text_there(write):
    lines = "filename\tevent_label\nYa_0.000_10.000.wav\tDog\n"
    assert read_heard(write(lines, "heard.tsv")) == [HeardClip("a", 0.0, frozenset({"Dog"}))]
    lines = HEADER + "Ya_0.000_10.000.wav\tsoon\t1\tDog\n"
    with pytest.raises(UserError, match=r"heard\.tsv, line 2: onset and offset are 'soon' and '1'"):
        read_heard(write(lines, "heard.tsv"))


def test_an_own_list_has_a_clip_per_line(write):
    assert read_heard(write("id,labels\na.wav,Dog;Rain\nb.wav,\n")) == [
        HeardClip("a.wav", None, frozenset({"Dog", "Rain"})),
        HeardClip("b.wav", None, frozenset()),
    ]
    by_start = read_heard(write("id,start,labels\na.wav,0,Dog\na.wav,5.0,\n"))
    assert [clip.start for clip in by_start] == [0.0, 5.0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("heard.csv", "id,start\n", "has no column labels"),
        ("heard.csv", "id,labels\n", "lists no clips"),
        ("heard.csv", "id,labels\na,Dog\na,\n", "line 3: the clip 'a' is listed twice"),
        ("heard.csv", "id,start,labels\na,0:30,Dog\n", "line 2: start is '0:30'"),
        ("heard.tsv", HEADER + "a.wav\t0\t1\tDog\n", "line 2: 'a.wav' is not of the form Y<id>_"),
        ("heard.tsv", "id,labels\na,Dog\n", "has no column filename"),
        ("heard.tsv", "", "has no column filename"),
    ],
)
def test_a_mistake_in_a_list_is_one_sentence(write, name, text, said):
    path = write(text, name)
    message = refusal(read_heard, path)
    assert message.startswith(str(path))
    assert said in message


def test_a_missing_list_is_one_sentence(tmp_path):
    assert "cannot be read" in refusal(read_heard, tmp_path / "none.csv")


def test_clips_match_by_id_and_by_start_where_the_list_has_it():
    heard = [
        HeardClip("a", None, frozenset({"x"})),
        HeardClip("b", 10.0, frozenset({"y"})),
        HeardClip("elsewhere", None, frozenset({"z"})),
    ]
    ids, starts = ["b", "a", "b", "c"], [10.2, 70.0, 20.0, 0.0]
    assert match_clips(ids, starts, heard) == {0: heard[1], 1: heard[0]}


def test_of_what_was_heard_near_a_clip_the_nearest_counts():
    heard = [HeardClip("a", start, frozenset({str(start)})) for start in (None, 0.2, 0.0)]
    assert match_clips(["a", "a"], [0.0, 0.3], heard) == {0: heard[2], 1: heard[1]}
    assert match_clips(["a"], [0.3], heard[::-1]) == {0: heard[1]}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A published list in a local copy, and the file to fetch it to."""
    local = tmp_path / "data/audioset/toy.tsv"
    local.parent.mkdir(parents=True)
    local.write_text(HEADER)
    digest = hashlib.sha256(HEADER.encode()).hexdigest()
    url = "http://127.0.0.1:9/toy.tsv"  # nothing answers there
    monkeypatch.setattr(listened, "PUBLISHED", {"toy": listened.PublishedList(url, digest)})
    monkeypatch.setattr("weakneg.io.download._RETRY_SECONDS", ())
    monkeypatch.setenv("WEAKNEG_DATA", str(tmp_path / "data"))
    return local, tmp_path / "truth/toy.tsv"


def test_a_local_copy_is_checked(published):
    local, output = published
    output.parent.mkdir()
    fetch_truth("toy", output)
    assert output.read_text() == HEADER
    local.write_text(HEADER + "more\n")
    assert "is not the published file" in refusal(fetch_truth, "toy", output)


def test_without_a_local_copy_the_list_is_downloaded(published):
    local, output = published
    local.unlink()
    message = refusal(fetch_truth, "toy", output)
    assert message.startswith("http://127.0.0.1:9/toy.tsv could not be downloaded")
    assert "audioset/toy.tsv" in message


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the folder audioset in WEAKNEG_DATA")
def test_the_real_list_of_desed(tmp_path):
    fetch_truth("desed_validation", tmp_path / "heard.tsv")
    clips = read_heard(tmp_path / "heard.tsv")
    assert len(clips) == len({clip.id for clip in clips}) == 1168
    assert sum(not clip.labels for clip in clips) == 15
    assert len(frozenset().union(*(clip.labels for clip in clips))) == 10
