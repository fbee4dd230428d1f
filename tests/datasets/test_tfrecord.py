"""TFRecord files of clips: what was written is read, and any other bytes are a BadRecord."""

import math
import os
import struct
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tfrecords import (
    I32,
    VARINT,
    bytes_feature,
    clip,
    context,
    entries,
    field,
    float_feature,
    frame_list,
    framed,
    frames_of,
    int64_feature,
    masked,
    sequence_example,
    tfrecord,
    varint,
)

from weakneg.datasets.tfrecord import (
    MAX_RECORD_BYTES,
    BadRecord,
    ClipRecord,
    masked_crc,
    parse_clip,
    split_records,
)

WORKFLOW = Path(__file__).parents[2] / "workflow"


def _printed(code: str, stdin: bytes = b"") -> str:
    """What the code prints in a Python process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        input=stdin,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(WORKFLOW)},
        check=True,
    ).stdout.decode()


def test_protobuf_is_only_imported_to_parse():
    code = "import sys, weakneg.datasets.tfrecord; print('google.protobuf' in sys.modules)"
    assert _printed(code) == "False\n"


# ---- framing -----------------------------------------------------------------------------------


def test_the_checksum_is_that_of_a_published_file():
    # The first 12 bytes of bal_train/yi.tfrecord: a length and its checksum.
    length, crc = bytes.fromhex("e505000000000000"), bytes.fromhex("af00afda")
    assert masked_crc(length) == int.from_bytes(crc, "little")


@given(st.lists(st.binary(max_size=50)))
def test_records_come_back_in_order(records):
    assert list(split_records(tfrecord(*records))) == records


def test_a_record_of_a_wrong_checksum_is_skipped_alone():
    damaged = bytearray(tfrecord(b"first", b"second", b"third"))
    damaged[damaged.index(b"second")] ^= 1
    assert list(split_records(bytes(damaged))) == [b"first", None, b"third"]


def _sound_ones_and_error(data: bytes) -> tuple[list, str]:
    records = []
    with pytest.raises(BadRecord) as error:
        records.extend(split_records(data))  # keeps what came before the error
    return records, str(error.value)


@pytest.mark.parametrize("byte", range(12))
def test_behind_a_damaged_length_nothing_is_read(byte):
    data = bytearray(tfrecord(b"first", b"second", b"third"))
    data[len(framed(b"first")) + byte] ^= 1
    records, error = _sound_ones_and_error(bytes(data))
    assert records == [b"first"]
    assert "length" in error


def test_a_file_cut_anywhere_gives_the_whole_records_and_an_error():
    data = tfrecord(b"first", b"second")
    for end in set(range(len(data))) - {0, len(framed(b"first"))}:
        records, _ = _sound_ones_and_error(data[:end])
        assert records == [b"first"][: end // len(framed(b"first"))]


@pytest.mark.parametrize("length", [2**20, 2**63, 2**64 - 1])
def test_a_length_beyond_the_file_takes_no_memory(length):
    header = struct.pack("<Q", length)
    tracemalloc.start()
    _, error = _sound_ones_and_error(header + masked(header) + b"short")
    assert "ends inside" in error
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


# ---- one clip ----------------------------------------------------------------------------------


@given(
    id=st.text(st.characters(max_codepoint=127), max_size=20),
    start=st.floats(width=32, allow_nan=False),
    labels=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    frames=st.lists(st.binary(max_size=130), max_size=12),
    packed=st.booleans(),
)
def test_a_clip_comes_back_as_it_was_written(id, start, labels, frames, packed):
    record = clip(id, start=start, end=10, labels=labels, frames=frames, packed=packed)
    assert parse_clip(record) == ClipRecord(id, start, 10.0, tuple(labels), frames)


def test_a_time_can_be_anything_that_a_float_can():
    assert math.isnan(parse_clip(clip(start=math.nan)).start)


def test_a_clip_without_embeddings_has_no_frames():
    assert parse_clip(field(1, entries(context()))).frames == []


def test_what_is_not_asked_for_is_skipped():
    more = context() | {"more": bytes_feature(b"x"), "": b""}
    lists = {"rgb": frame_list([b"\1" * 1024]), "audio_embedding": frame_list(frames_of("a", 2))}
    record = b"".join(
        (
            field(7, b"unknown"),
            field(2, entries(lists)),
            field(8, varint(2**63), VARINT),
            field(9, bytes(8), 1),
            field(10, bytes(4), I32),
            field(11, b"", 3) + field(11, b"", 4),  # a group: an old kind of message
            field(1, field(1, field(1, b"no UTF-8: \xff") + field(2, float_feature(1)))),
            field(1, entries(more)),
        )
    )
    assert parse_clip(record) == ClipRecord("abcdefghijk", 0.0, 10.0, (0,), frames_of("a", 2))


def test_the_last_value_of_a_name_counts():
    first = sequence_example(context("first", labels=(1, 2)), frames_of("a", 3))
    last = sequence_example(context("last", start=5.0, labels=(3,)), frames_of("b", 1))
    assert parse_clip(first + last) == parse_clip(last)


def test_a_feature_of_two_types_is_read_as_the_one_asked_for():
    both = int64_feature(1, 2) + float_feature(3)
    record = sequence_example(context() | {"labels": both, "end_time_seconds": both}, [])
    assert parse_clip(record)[2:4] == (3.0, (1, 2))


@pytest.mark.parametrize("name", ["video_id", "start_time_seconds", "end_time_seconds", "labels"])
def test_a_missing_feature_is_named(name):
    features = context()
    del features[name]
    with pytest.raises(BadRecord, match=f"it has no {name}"):
        parse_clip(sequence_example(features, []))


@pytest.mark.parametrize(
    "features",
    [
        {"video_id": bytes_feature()},
        {"video_id": bytes_feature(b"a", b"b")},
        {"video_id": bytes_feature("\u00e9".encode())},
        {"video_id": float_feature(1)},
        {"start_time_seconds": float_feature()},
        {"start_time_seconds": float_feature(1, 2)},
        {"end_time_seconds": float_feature(1, 2, packed=False)},
        {"end_time_seconds": int64_feature(1)},
    ],
    ids=str,
)
def test_a_feature_of_another_type_or_number_of_values_is_refused(features):
    with pytest.raises(BadRecord, match=next(iter(features))):
        parse_clip(sequence_example(context() | features, []))


@pytest.mark.parametrize(
    "frame", [float_feature(1), bytes_feature(), bytes_feature(b"a", b"b"), b""], ids=str
)
def test_a_frame_that_is_not_one_string_of_bytes_is_refused(frame):
    record = field(1, entries(context())) + field(2, entries({"audio_embedding": field(1, frame)}))
    with pytest.raises(BadRecord, match="audio_embedding"):
        parse_clip(record)


# ---- hostile bytes -----------------------------------------------------------------------------


def _parsed_or_bad(record: bytes) -> None:
    with suppress(BadRecord):  # and nothing else
        parse_clip(record)


RECORD = clip(labels=(0, 137, 526), frames=frames_of("a", 2))


def test_a_record_cut_anywhere_is_refused_or_lacks_frames():
    for end in range(len(RECORD)):
        try:
            assert parse_clip(RECORD[:end]).frames == []  # cut behind the context
        except BadRecord:
            continue


@given(st.binary(max_size=300))
def test_any_bytes_are_a_clip_or_a_bad_record(record):
    _parsed_or_bad(record)


@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(0, len(RECORD) - 1), st.integers(0, 255)), max_size=5))
def test_any_change_of_a_clip_is_a_clip_or_a_bad_record(changes):
    record = bytearray(RECORD)
    for position, byte in changes:
        record[position] = byte
    _parsed_or_bad(bytes(record))


@pytest.mark.parametrize(
    "malformed",
    [
        b"\x0a",  # a key and no length
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2**64 - 1
        b"\x0a\x05abc",  # a length beyond the record
        b"\x80" * 9,  # a number without an end
        b"\x80" * 20,  # a number of more than 64 bits
        b"\x09abc",  # a fixed number cut short
        b"\x0b",  # a group without an end
        b"\x0b" * 10_000 + b"\x0c" * 10_000,  # groups in groups
        b"\x0e\x00",  # a wire type that does not exist
        field(1, field(1, b"\x0a\x09short") + bytes(20)),  # an inner one beyond its message
        field(1, entries({"end_time_seconds": field(2, field(1, b"abc"))})),  # not whole floats
    ],
    ids=lambda malformed: malformed.hex()[:24],
)
def test_malformed_fields_are_refused(malformed):
    with pytest.raises(BadRecord, match="not a valid SequenceExample"):
        parse_clip(RECORD + malformed)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc of Linux")
def test_a_record_of_a_million_fields_takes_bounded_memory():
    # Seen from outside: tracemalloc knows nothing of the memory that protobuf takes.
    code = """if True:
        import sys
        from weakneg.datasets.tfrecord import parse_clip, split_records

        def peak_bytes():
            (kilobytes,) = (s for s in open("/proc/self/status") if s.startswith("VmHWM:"))
            return 1024 * int(kilobytes.split()[1])

        smallest, *records = split_records(sys.stdin.buffer.read())
        parse_clip(smallest)
        before = peak_bytes()
        for record in records:
            parse_clip(record)
        print(peak_bytes() - before)
        """
    features = field(1, entries(context()))
    n = (MAX_RECORD_BYTES - len(features) - 100) // 2
    many = [
        b"\x78\x00" * n,  # unknown numbers
        field(1, b"\x0a\x00" * n),  # features without name and value
        field(2, b"\x0a\x00" * n),  # lists without name and value
        field(2, entries({"audio_embedding": b"\x10\x00" * n})),
        field(2, entries({"audio_embedding": frame_list([b""] * (n // 3))})),
    ]
    records = [RECORD, *(features + each for each in many)]
    assert int(_printed(code, tfrecord(*records))) < 50 * MAX_RECORD_BYTES


def test_a_record_that_is_too_long_is_refused_unread():
    with pytest.raises(BadRecord, match="more than"):
        parse_clip(RECORD + bytes(MAX_RECORD_BYTES))
