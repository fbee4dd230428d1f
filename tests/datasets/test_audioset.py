"""AudioSet's lists, ontology and features: every clip is right, or is said to be wrong."""

import functools
import gzip
import hashlib
import http.server
import io
import json
import math
import os
import re
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from tfrecords import (
    clip,
    framed,
    frames_of,
    tfrecord,
)

from weakneg.datasets import Problem, audioset_lists, audioset_vggish
from weakneg.datasets.audioset_lists import Segment, read_ontology, read_segments, related_classes
from weakneg.datasets.audioset_vggish import ARCHIVE, CLASSES, fetch, load_clips
from weakneg.errors import UserError
from weakneg.io import download, progress

DATA = Path(os.environ.get("WEAKNEG_DATA", os.devnull)) / "audioset"

needs_audioset = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the real AudioSet: name the parent of audioset in WEAKNEG_DATA"
)


@pytest.fixture(autouse=True)
def no_shared_data(monkeypatch):
    """A test sees no local copy but the one it makes, and does not wait between downloads."""
    monkeypatch.delenv("WEAKNEG_DATA", raising=False)
    monkeypatch.setattr(download, "_RETRY_SECONDS", ())


def _refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# ---- classes -----------------------------------------------------------------------------------


def test_classes_are_numbered_as_published():
    assert len(CLASSES) == len(audioset_vggish.DATASET.training_counts) == 527
    assert (CLASSES[0], CLASSES[137], CLASSES[526]) == ("Speech", "Music", "Field recording")
    assert audioset_vggish.DATASET.aliases["/m/04rlf"] == 137
    assert audioset_vggish.DATASET.training_counts[137] == max(
        audioset_vggish.DATASET.training_counts[1:]
    )


@needs_audioset
def test_the_table_of_classes_is_that_of_the_published_lists():
    assert audioset_lists.CLASS_TABLE.read_text(encoding="utf-8") == audioset_lists.class_table(
        DATA
    )


# ---- lists of clips ----------------------------------------------------------------------------

HEADER = (
    "# Segments csv created Sun Mar  5 10:54:31 2017\n"
    "# num_ytids=2, num_segs=2, num_unique_labels=527, num_positive_labels=3\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
)
SPEECH, MALE, MUSIC = (audioset_lists.classes()[number].mid for number in (0, 1, 137))


def _line(clip_id: str, start=0.0, mids=(SPEECH,)) -> str:
    return f'{clip_id}, {start:.3f}, {start + 10:.3f}, "{",".join(mids)}"\n'


@pytest.fixture
def segments(tmp_path):
    """Read a list of the given text."""

    def read(text: str) -> dict[str, Segment]:
        path = tmp_path / "segments.csv"
        path.write_bytes(text.encode("latin-1"))
        return read_segments(path)

    return read


def test_a_list_is_read_in_its_order(segments):
    text = HEADER + _line("zzzzzzzzzzz", 30, [MUSIC, SPEECH]) + _line("--4gqARaEJE", 0, [MUSIC])
    found = segments(text)
    assert list(found) == ["zzzzzzzzzzz", "--4gqARaEJE"]
    assert found["zzzzzzzzzzz"] == Segment(30.0, 40.0, (0, 137))


@pytest.mark.parametrize("clip_id", ["--", "-abc", "_", "a" * 64])
def test_an_id_can_look_like_an_option(segments, clip_id):
    assert list(segments(HEADER + _line(clip_id))) == [clip_id]


def test_a_list_can_end_without_a_line_break_and_have_those_of_windows(segments):
    text = (HEADER + _line("a") + _line("b")).rstrip("\n").replace("\n", "\r\n")
    assert list(segments(text)) == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("\n", "does not belong"),
        ("# a comment\n", "does not belong"),
        ("abc, 0.000, 10.000\n", "does not belong"),
        (f'abc, 0.000, 10.000, "{SPEECH}"x\n', "does not belong"),
        (f'abc, 0.000, 10.000, "{SPEECH}\n', "does not belong"),
        (f"abc, nan, 10.000, {SPEECH}\n", "does not belong"),
        (f'abc, -1.000, 10.000, "{SPEECH}"\n', "does not belong"),
        (_line("../etc/passwd"), "does not belong"),
        (_line("a b"), "does not belong"),
        (_line("a" * 65), "does not belong"),
        (_line(""), "does not belong"),
        (_line("\xe4\xf6"), "does not belong"),
        (_line("a\0b"), "does not belong"),
        (f'abc, 10.000, 10.000, "{SPEECH}"\n', "ends before it starts"),
        (_line("abc", mids=["/m/nothing"]), "'/m/nothing' is not one of the 527 classes"),
        (_line("abc", mids=[]), "does not belong"),
        (_line("abc", mids=[SPEECH, ""]), "'' is not one of the 527 classes"),
        (_line("first"), "the clip first is listed twice"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(segments, line, said):
    message = _refusal(segments, HEADER + _line("first") + line + _line("last"))
    assert "segments.csv, line 5: " in message
    assert said in message
    assert "delete the file" in message


def test_a_list_without_its_three_lines_or_without_clips_is_refused(segments):
    assert "line 1: " in _refusal(segments, _line("a") * 4)
    assert "lists no clip" in _refusal(segments, HEADER)
    assert "lists no clip" in _refusal(segments, "")


def test_a_missing_list_is_refused_by_its_name(tmp_path):
    assert str(tmp_path / "none.csv") in _refusal(read_segments, tmp_path / "none.csv")


# ---- ontology ----------------------------------------------------------------------------------


def _ontology(path: Path, children: dict[str, list[str]]) -> Path:
    """An ontology of all classes, without relations but for the given ones."""
    nodes = {each.mid: [] for each in audioset_lists.classes()} | children
    path.write_text(json.dumps([{"id": k, "child_ids": v} for k, v in nodes.items()]))
    return path


def test_relations_go_up_and_down_and_through_nodes_that_are_no_class(tmp_path):
    children = {SPEECH: ["/m/abstract"], "/m/abstract": [MALE], "/m/top": [SPEECH, MUSIC]}
    related = related_classes(_ontology(tmp_path / "ontology.json", children))
    assert related["Speech"] == {"Male speech, man speaking"}
    assert related["Male speech, man speaking"] == {"Speech"}
    assert related["Music"] == frozenset()  # a sibling is no relation
    assert set(related) == set(CLASSES)


def test_a_cycle_ends_and_no_class_is_its_own_relation(tmp_path):
    children = {SPEECH: [MALE], MALE: [SPEECH, "/m/nowhere"]}
    related = related_classes(_ontology(tmp_path / "ontology.json", children))
    assert related["Speech"] == {"Male speech, man speaking"}


@pytest.mark.parametrize(
    "text", ["", "{", "3", "[3]", '[{"id": "/m/1"}]', '[{"id": 1, "child_ids": 2}]', "[" * 100_000]
)
def test_what_is_no_ontology_is_refused(tmp_path, text):
    (tmp_path / "ontology.json").write_text(text)
    assert "is not AudioSet's ontology" in _refusal(related_classes, tmp_path / "ontology.json")


def test_an_ontology_without_a_class_is_refused(tmp_path):
    path = _ontology(tmp_path / "ontology.json", {})
    path.write_text(
        json.dumps([node for node in json.loads(path.read_text()) if node["id"] != MUSIC])
    )
    assert MUSIC in _refusal(related_classes, path)


@needs_audioset
def test_relations_of_the_real_ontology():
    related = audioset_vggish.related_classes(DATA)
    assert "Speech" in related["Male speech, man speaking"]
    assert "Music" in related["Guitar"]
    assert "Guitar" in related["Electric guitar"]  # through nodes that are no class or are one
    assert "Dog" not in related["Cat"]
    assert all(a in related[b] for a, others in related.items() for b in others)
    children = read_ontology(DATA / "ontology.json")
    by_mid = {each.mid: each.name for each in audioset_lists.classes()}
    for parent, mids in children.items():
        for mid in mids:
            if parent in by_mid and mid in by_mid:
                assert by_mid[mid] in related[by_mid[parent]]


# ---- a made-up archive -------------------------------------------------------------------------

TRAIN = {"-abc": (0.0, [SPEECH]), "--": (30.0, [SPEECH, MUSIC]), "zz_Z": (5.0, [MALE])}
EVAL = {"eval1": (0.0, [MUSIC]), "eval0": (20.0, [SPEECH])}


def _record(clip_id: str, **about) -> bytes:
    """A sound record of a clip of the lists."""
    start, mids = (TRAIN | EVAL)[clip_id]
    labels = [audioset_lists.class_numbers()[mid] for mid in mids]
    return clip(clip_id, **({"start": start, "end": start + 10, "labels": labels} | about))


def _sound() -> dict[str, bytes]:
    """Members of an archive without problems."""
    return {
        "audioset_v1_embeddings/eval/ev.tfrecord": tfrecord(_record("eval0"), _record("eval1")),
        "audioset_v1_embeddings/bal_train/zz.tfrecord": tfrecord(_record("zz_Z")),
        "audioset_v1_embeddings/bal_train/--.tfrecord": tfrecord(_record("--")),
        "audioset_v1_embeddings/bal_train/-a.tfrecord": tfrecord(_record("-abc")),
        "audioset_v1_embeddings/unbal_train/xx.tfrecord": b"not read",
    }


def _tar(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "audioset"
    folder.mkdir()
    for file, clips in (
        (audioset_lists.TRAIN_LIST, TRAIN),
        (audioset_lists.EVAL_LIST, EVAL),
    ):
        lines = (_line(clip_id, *about) for clip_id, about in clips.items())
        (folder / file).write_text(HEADER + "".join(lines))
    (folder / audioset_lists.LABEL_LIST).write_text("index,mid,display_name\n")
    _ontology(folder / audioset_lists.ONTOLOGY, {})
    (folder / ARCHIVE).write_bytes(gzip.compress(_tar(_sound())))
    return folder


@pytest.fixture
def load(folder):
    """Load an archive of the sound members, changed as given."""

    def load(changed: dict):
        (folder / ARCHIVE).write_bytes(gzip.compress(_tar(_sound() | changed)))
        return load_clips(folder)

    return load


BAL = "audioset_v1_embeddings/bal_train"
ALL = {"train": ["--", "-abc", "zz_Z"], "test": ["eval0", "eval1"]}


def _ids(clips) -> dict[str, list[str]]:
    return {split: each.id.tolist() for split, each in clips.items()}


def _assert_sound(clips) -> None:
    """Each clip has its own frames, times and labels; nothing is in a wrong row."""
    for split in clips.values():
        assert split.x.dtype == split.y.dtype == np.uint8
        assert split.length.dtype == np.int64
        for x, length, clip_id, start, y in zip(
            split.x, split.length, split.id, split.start, split.y, strict=True
        ):
            frames = frames_of(clip_id, length)
            assert x.shape == (10, 128)
            assert x[:length].tobytes() == b"".join(frames)
            assert not x[length:].any()
            about = (TRAIN | EVAL)[clip_id]
            assert (start, {audioset_lists.classes()[c].mid for c in np.flatnonzero(y)}) == (
                about[0],
                set(about[1]),
            )


def test_a_sound_archive_gives_every_clip_of_the_lists(folder):
    clips, problems = load_clips(folder)
    assert _ids(clips) == ALL  # sorted
    _assert_sound(clips)
    assert problems == []
    assert {split: (each.x.shape, each.y.shape) for split, each in clips.items()} == {
        "train": ((3, 10, 128), (3, 527)),
        "test": ((2, 10, 128), (2, 527)),
    }


@pytest.mark.parametrize("n", range(1, 11))
def test_a_shorter_clip_is_filled_with_zeros_and_knows_its_length(load, n):
    clips, problems = load(
        {f"{BAL}/zz.tfrecord": tfrecord(_record("zz_Z", frames=frames_of("zz_Z", n)))}
    )
    assert clips["train"].length.tolist() == [10, 10, n]
    _assert_sound(clips)
    assert problems == []


# ---- what can be wrong with a clip -------------------------------------------------------------


def test_a_clip_without_features_is_excluded(load):
    clips, problems = load({f"{BAL}/zz.tfrecord": b""})
    assert _ids(clips) == ALL | {"train": ["--", "-abc"]}
    _assert_sound(clips)
    assert problems == [Problem("train", "zz_Z", "it has no features in the archive", "excluded")]


def test_features_without_an_entry_in_the_list_are_excluded(load):
    records = tfrecord(clip("unlisted"), _record("zz_Z"), _record("eval1"))
    clips, problems = load({f"{BAL}/zz.tfrecord": records})
    assert _ids(clips) == ALL
    _assert_sound(clips)
    assert [(p.split, p.id, p.consequence) for p in problems] == [
        ("train", "unlisted", "excluded"),
        ("train", "eval1", "excluded"),  # of the other split's list
    ]
    assert "record 1 of bal_train/zz.tfrecord" in problems[0].problem
    assert "not in the list" in problems[0].problem


@pytest.mark.parametrize("clip_id", ["a/../b", "a\nb", "", "a,b", "x" * 65])
def test_an_id_that_is_none_is_not_repeated(load, clip_id):
    _, problems = load({f"{BAL}/zz.tfrecord": tfrecord(clip(clip_id), _record("zz_Z"))})
    assert [(p.id, p.consequence) for p in problems] == [("", "excluded")]
    assert "record 1 of bal_train/zz.tfrecord" in problems[0].problem
    assert len(problems[0].problem) < 100


def _damaged(record: bytes, position: int) -> bytes:
    content = bytearray(framed(record))
    content[position] ^= 1
    return bytes(content)


def test_of_a_file_with_a_damaged_record_the_others_are_read(load):
    first, second = _record("-abc"), _record("zz_Z")
    clips, problems = load(
        {
            f"{BAL}/-a.tfrecord": _damaged(first, 500) + framed(second),
            f"{BAL}/zz.tfrecord": b"",
        }
    )
    assert _ids(clips) == ALL | {"train": ["--", "zz_Z"]}
    _assert_sound(clips)
    assert [(p.id, p.consequence) for p in problems] == [("", "excluded"), ("-abc", "excluded")]
    assert "record 1 of bal_train/-a.tfrecord: its checksum is wrong" in problems[0].problem


def test_of_a_record_that_cannot_be_parsed_the_file_and_number_are_said(load):
    clips, problems = load(
        {f"{BAL}/-a.tfrecord": tfrecord(_record("-abc"), b"\x0a\xff", b"", _record("zz_Z"))}
        | {f"{BAL}/zz.tfrecord": b""}
    )
    assert _ids(clips) == ALL
    assert [(p.id, p.consequence) for p in problems] == [("", "excluded")] * 2
    assert problems[0].problem.startswith("record 2 of bal_train/-a.tfrecord: ")
    assert problems[1].problem.startswith("record 3 of bal_train/-a.tfrecord: it has no video_id")


@pytest.mark.parametrize("damage", ["length", "cut"])
def test_behind_a_damaged_length_a_file_is_not_read_but_the_next_file_is(load, damage):
    records = {
        "length": framed(_record("-abc")) + _damaged(_record("zz_Z"), 0) + framed(_record("--")),
        "cut": framed(_record("-abc")) + framed(_record("zz_Z"))[:-1],
    }
    clips, problems = load({f"{BAL}/-a.tfrecord": records[damage], f"{BAL}/zz.tfrecord": b""})
    assert _ids(clips) == ALL | {"train": ["--", "-abc"]}
    _assert_sound(clips)
    assert [(p.id, p.consequence) for p in problems] == [("", "excluded"), ("zz_Z", "excluded")]
    assert "bal_train/-a.tfrecord, everything after record 1: " in problems[0].problem


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([], "it has 0 frames"),
        (frames_of("zz_Z", 11), "it has 11 frames"),
        ([*frames_of("zz_Z", 3), b"\1" * 127], "127 bytes, not 128"),
        ([b"\1" * 129, *frames_of("zz_Z", 3)], "129 bytes, not 128"),
        ([b"\1" * 64, b"\1" * 192], "64 bytes, not 128"),  # that together would fit
        ([b""], "0 bytes, not 128"),
    ],
)
def test_a_clip_of_wrong_frames_is_excluded(load, frames, said):
    records = tfrecord(_record("zz_Z", frames=frames))
    clips, problems = load({f"{BAL}/zz.tfrecord": records})
    assert _ids(clips) == ALL | {"train": ["--", "-abc"]}
    _assert_sound(clips)
    assert [(p.id, p.consequence) for p in problems] == [("zz_Z", "excluded")]
    assert said in problems[0].problem


@pytest.mark.parametrize("labels", [[], [0], [1, 137], [2], [-1, 10**9]])
def test_other_labels_than_those_of_the_list_are_not_used(load, labels):
    clips, problems = load({f"{BAL}/zz.tfrecord": tfrecord(_record("zz_Z", labels=labels))})
    _assert_sound(clips)
    assert _ids(clips) == ALL
    assert problems == [
        Problem("train", "zz_Z", "its record has different labels", "the list's labels are used")
    ]


def test_the_order_of_labels_does_not_matter(load):
    assert load({f"{BAL}/--.tfrecord": tfrecord(_record("--", labels=[137, 0, 0]))})[1] == []


@pytest.mark.parametrize(
    ("times", "listed"),
    [
        ({"start": 5.4}, False),
        ({"start": 5.6}, True),
        ({"start": 4.4}, True),
        ({"end": 14.6}, False),
        ({"end": 14.0}, True),
        ({"start": math.nan}, True),
        ({"end": math.inf}, True),
    ],
)
def test_other_times_than_those_of_the_list_are_not_used(load, times, listed):
    clips, problems = load({f"{BAL}/zz.tfrecord": tfrecord(_record("zz_Z", **times))})
    _assert_sound(clips)
    assert _ids(clips) == ALL
    assert [(p.id, p.consequence) for p in problems] == [
        ("zz_Z", "the list's times are used")
    ] * listed


def test_of_two_records_of_a_clip_the_first_is_used(load):
    second = _record("zz_Z", frames=frames_of("other"))
    clips, problems = load(
        {
            f"{BAL}/zz.tfrecord": tfrecord(_record("zz_Z"), second),
            f"{BAL}/zy.tfrecord": framed(second),
        }
    )
    assert _ids(clips) == ALL
    _assert_sound(clips)
    assert [(p.id, p.consequence) for p in problems] == [("zz_Z", "the first record is used")] * 2
    assert "record 2 of bal_train/zz.tfrecord" in problems[0].problem


def test_a_clip_whose_first_record_is_excluded_stays_so(load):
    records = tfrecord(_record("zz_Z", frames=[]), _record("zz_Z"))
    clips, problems = load({f"{BAL}/zz.tfrecord": records})
    assert "zz_Z" not in clips["train"].id
    assert len(problems) == 2


# ---- hostile and damaged archives --------------------------------------------------------------


def _special(kind: bytes, name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def test_members_that_are_not_features_are_ignored_and_nothing_is_written(load, folder):
    before = sorted(folder.parent.rglob("*"))
    evil = tfrecord(clip("evil"))
    clips, problems = load(
        {
            "../../escape.tfrecord": evil,
            "/absolute.tfrecord": evil,
            f"{BAL}/deep/er.tfrecord": evil,
            f"{BAL}/a.txt": evil,
            f"{BAL}/a\nb.tfrecord": evil,
            "xbal_train/a.tfrecord": evil,
            "1": _special(tarfile.SYMTYPE, f"{BAL}/link.tfrecord"),
            "2": _special(tarfile.LNKTYPE, f"{BAL}/hard.tfrecord"),
            "3": _special(tarfile.CHRTYPE, f"{BAL}/device.tfrecord"),
            "4": _special(tarfile.FIFOTYPE, f"{BAL}/pipe.tfrecord"),
            "5": _special(tarfile.DIRTYPE, f"{BAL}/folder.tfrecord"),
        }
    )
    assert _ids(clips) == ALL
    assert problems == []
    assert sorted(folder.parent.rglob("*")) == before


def test_a_path_that_leads_out_is_read_as_features_but_not_followed(load, folder):
    before = sorted(folder.parent.rglob("*"))
    _, problems = load({"../../eval/x.tfrecord": tfrecord(clip("evil"))})
    assert [(p.split, p.id) for p in problems] == [("test", "evil")]
    assert sorted(folder.parent.rglob("*")) == before


def test_a_file_too_long_to_be_held_is_excluded(load, monkeypatch):
    monkeypatch.setattr(audioset_vggish, "_MAX_MEMBER_BYTES", 2000)
    two = tfrecord(_record("zz_Z"), _record("zz_Z"))
    clips, problems = load(
        {
            f"{BAL}/zz.tfrecord": two,
            "audioset_v1_embeddings/eval/ev.tfrecord": b"",
            "eval/0.tfrecord": framed(_record("eval0")),
            "eval/1.tfrecord": framed(_record("eval1")),
        }
    )
    assert _ids(clips) == ALL | {"train": ["--", "-abc"]}
    assert problems[0] == Problem(
        "train", "", "bal_train/zz.tfrecord has more than 2000 bytes", "excluded"
    )


def _bad_header(tar: bytes) -> bytes:
    """The header of the last member damaged, under a sound gzip."""
    position = tar.rindex(b"audioset_v1_embeddings")
    return tar[:position] + b"X" + tar[position + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda tar: gzip.compress(tar)[:-1],
        lambda tar: gzip.compress(tar)[: -len(gzip.compress(tar)) // 2],
        lambda tar: gzip.compress(tar)[:-8] + bytes(8),
        lambda tar: gzip.compress(tar[:1000]),
        lambda tar: gzip.compress(tar[: tar.rindex(b"audioset_v1_embeddings")]),
        lambda tar: gzip.compress(tar[: tar.rindex(b"audioset_v1_embeddings") + 100]),
        lambda tar: gzip.compress(_bad_header(tar)),
        lambda tar: b"",
        lambda tar: tar,
        lambda tar: b"<html>please log in</html>",
        lambda tar: gzip.compress(b"<html>please log in</html>"),
    ],
    ids=[
        "cut at the end",
        "cut",
        "checksum",
        "tar cut in a file",
        "tar cut before a header",
        "tar cut in a header",
        "header",
        "empty",
        "no gzip",
        "no tar",
        "text",
    ],
)
def test_a_damaged_archive_is_one_sentence(folder, damage):
    (folder / ARCHIVE).write_bytes(damage(_tar(_sound())))
    message = _refusal(load_clips, folder)
    assert str(folder / ARCHIVE) in message
    assert "delete it" in message


@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["of the archive", "under gzip"])
def test_any_damaged_byte_is_an_error_or_a_problem_or_changes_nothing(folder, wrap):
    archive = bytearray(
        _tar(_sound()) if wrap is gzip.compress else (folder / ARCHIVE).read_bytes()
    )
    for position in range(0, len(archive), max(1, len(archive) // 300)):
        archive[position] ^= 0x11
        (folder / ARCHIVE).write_bytes(wrap(bytes(archive)))
        archive[position] ^= 0x11
        try:
            clips, problems = load_clips(folder)
        except UserError:
            continue
        _assert_sound(clips)
        assert problems or _ids(clips) == ALL


def test_an_archive_that_only_nests_is_one_sentence(folder):
    name = tarfile.TarInfo("x")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2
    (folder / ARCHIVE).write_bytes(gzip.compress((name.tobuf() + b"y\0".ljust(512, b"\0")) * 5000))
    assert "delete it" in _refusal(load_clips, folder)


def test_an_archive_without_features_of_a_split_is_one_sentence(folder):
    members = _sound()
    del members["audioset_v1_embeddings/eval/ev.tfrecord"]
    (folder / ARCHIVE).write_bytes(gzip.compress(_tar(members)))
    assert "no features for the clips of the test list" in _refusal(load_clips, folder)
    (folder / ARCHIVE).write_bytes(gzip.compress(_tar({})))
    assert "delete it" in _refusal(load_clips, folder)


@pytest.mark.parametrize("file", [ARCHIVE, audioset_lists.TRAIN_LIST, audioset_lists.EVAL_LIST])
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    assert str(folder / file) in _refusal(load_clips, folder)


def test_a_long_read_says_how_far_it_is(folder, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0)
    load_clips(folder)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert re.fullmatch(r"reading features\.tar\.gz: \S+ of \S+ MB, 100%, \S+ MB/s", lines[-1])


# ---- fetching ----------------------------------------------------------------------------------


@pytest.fixture
def published(folder, monkeypatch):
    """Publish the made-up files: their checksums, and a server for them."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    lists = {
        file: (f"{url}/{file}", hashlib.md5((folder / file).read_bytes()).hexdigest())
        for file in audioset_lists.LISTS
    }
    monkeypatch.setattr(audioset_lists, "LISTS", lists)
    monkeypatch.setattr(audioset_vggish, "_ARCHIVE_URL", f"{url}/{ARCHIVE}")
    yield server
    server.shutdown()
    server.server_close()


def _assert_fetched(resources: Path, folder: Path) -> None:
    assert sorted(path.name for path in resources.iterdir()) == sorted(audioset_vggish.FILES)
    for file in audioset_vggish.FILES:
        assert (resources / file).read_bytes() == (folder / file).read_bytes()


@pytest.mark.parametrize("named", [Path(), Path("..")], ids=["the folder", "its parent"])
def test_a_named_local_copy_is_used(published, folder, tmp_path, named):
    fetch(tmp_path / "resources", folder / named)
    _assert_fetched(tmp_path / "resources", folder)


def test_the_environment_variable_names_a_local_copy(published, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("WEAKNEG_DATA", str(folder.parent))
    fetch(tmp_path / "resources")
    _assert_fetched(tmp_path / "resources", folder)


def test_the_local_copy_is_left_as_it_is(published, folder, tmp_path):
    from snakemake.io import IOFile

    def state() -> list:
        stats = [(folder / file).stat() for file in audioset_vggish.FILES]
        return [(stat.st_mtime_ns, stat.st_mode, stat.st_size) for stat in stats]

    before = state()
    fetch(tmp_path / "resources", folder)
    for file in audioset_vggish.FILES:
        IOFile(str(tmp_path / "resources" / file)).touch()  # as Snakemake does behind a job
        (tmp_path / "resources" / file).unlink()
    assert state() == before


def test_a_link_whose_archive_has_gone_is_replaced(published, folder, tmp_path):
    moved = tmp_path / "moved"
    fetch(tmp_path / "resources", folder)
    folder.rename(moved)
    assert "delete it" in _refusal(load_clips, tmp_path / "resources")
    fetch(tmp_path / "resources", moved)
    _assert_fetched(tmp_path / "resources", moved)


def test_a_relative_path_names_a_local_copy(published, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    fetch("elsewhere/resources", folder.name)
    _assert_fetched(folder.parent / "elsewhere" / "resources", folder)


def test_without_a_local_copy_the_files_are_downloaded_once(
    published, folder, tmp_path, monkeypatch
):
    fetch(tmp_path / "resources")
    _assert_fetched(tmp_path / "resources", folder)
    monkeypatch.setattr(audioset_vggish, "download", None)
    monkeypatch.setattr(audioset_lists, "download", None)
    fetch(tmp_path / "resources")
    fetch(tmp_path / "resources", tmp_path / "a local copy that was deleted since")


def test_a_local_copy_that_is_not_there_is_refused_with_the_key_to_change(tmp_path):
    message = _refusal(fetch, tmp_path / "resources", tmp_path / "nowhere")
    assert "data: {audioset_vggish: " in message
    assert str(tmp_path / "nowhere") in message


@pytest.mark.parametrize("file", [ARCHIVE, audioset_lists.TRAIN_LIST])
def test_a_file_that_the_local_copy_lacks_is_named(published, folder, tmp_path, file):
    (folder / file).unlink()
    message = _refusal(fetch, tmp_path / "resources", folder)
    assert str(folder / file) in message
    assert "WEAKNEG_DATA" in message
    assert not (tmp_path / "resources" / file).exists()


def test_a_list_that_is_not_the_published_one_is_refused(published, folder, tmp_path):
    with open(folder / audioset_lists.EVAL_LIST, "a") as file:
        file.write(_line("added"))
    assert "is not the published file" in _refusal(fetch, tmp_path / "resources", folder)
    assert "published file" in _refusal(fetch, tmp_path / "resources")  # downloaded


def test_a_failed_download_says_how_to_do_without(published, folder, tmp_path):
    (folder / ARCHIVE).unlink()
    message = _refusal(fetch, tmp_path / "resources")
    assert "404" in message
    assert "data: {audioset_vggish: ...}" in message


# ---- the published set -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    return load_clips(DATA)


@needs_audioset
def test_the_real_lists_are_the_published_ones():
    assert audioset_lists.has_lists(DATA)


@needs_audioset
def test_the_real_features_are_complete(real):
    clips, problems = real
    assert {split: each.x.shape for split, each in clips.items()} == {
        "train": (22_160, 10, 128),
        "test": (20_371, 10, 128),
    }
    # Nothing is excluded and no label differs; the times of 79 records do.
    assert [p.consequence for p in problems] == ["the list's times are used"] * 79
    for each in clips.values():
        assert (np.sort(each.id) == each.id).all()
        assert ((each.length >= 1) & (each.length <= 10)).all()
        assert (np.mean(each.length == 10)) > 0.98
        behind = np.arange(10) >= each.length[:, None]
        assert not each.x[behind].any()
        assert each.x[~behind].any(axis=1).all()
    assert not set(clips["train"].id) & set(clips["test"].id)  # no clip leaks


@needs_audioset
def test_the_real_labels_are_those_of_the_lists(real):
    """Counted from the text of the lists, without the code that reads them."""
    clips, _ = real
    mids = [each.mid for each in audioset_lists.classes()]
    for split, file in (("train", audioset_lists.TRAIN_LIST), ("test", audioset_lists.EVAL_LIST)):
        lines = (DATA / file).read_text().splitlines()[3:]
        listed = {line.split(", ")[0]: set(line.split('"')[1].split(",")) for line in lines}
        starts = {line.split(", ")[0]: float(line.split(", ")[1]) for line in lines}
        each = clips[split]
        assert each.id.tolist() == sorted(listed)
        assert each.start.tolist() == [starts[clip_id] for clip_id in each.id]
        for clip_id, y in zip(each.id, each.y, strict=True):
            assert {mids[c] for c in np.flatnonzero(y)} == listed[clip_id]
    assert clips["train"].y.sum(axis=0).tolist() == list(audioset_vggish.DATASET.training_counts)


def test_a_clip_can_be_heard_where_its_link_leads():
    assert audioset_vggish.DATASET.link("--PJHxphWEs", 30.0) == "https://youtu.be/--PJHxphWEs?t=30"
    assert (
        audioset_vggish.DATASET.link("a&b/c?d e", 0.0) == "https://youtu.be/a%26b%2Fc%3Fd%20e?t=0"
    )
