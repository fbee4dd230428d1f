"""Reads the TFRecord files of AudioSet's features, without TensorFlow and without protobuf.

A TFRecord file is a sequence of records: length (uint64), masked CRC32C of the length (uint32), the
content, masked CRC32C of the content (uint32), all little endian. Each content here is a
`tf.train.SequenceExample`, a message in the wire format of protocol buffers, of which `parse_clip`
reads what AudioSet publishes. The bytes are not trusted: whatever they are, the outcome is a clip
or a `BadRecord`, in time and memory proportional to their number.

Sources: TensorFlow, `core/lib/io/record_writer.h` (framing), `core/example/example.proto` and
`feature.proto` (messages); the encoding section of the protocol buffers documentation; AudioSet's
download page (names of the features).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import google_crc32c

MAX_RECORD_BYTES = 1 << 20
"""Of a record to be parsed: a clip of AudioSet has 1.5 kB."""

_MASK_DELTA = 0xA282EAD8
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_FLOAT = struct.Struct("<f")

# Wire types, the lowest three bits of a field's key; the bits above are the field's number.
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5


class BadRecord(ValueError):
    """The bytes are not what they should be; the message says what is wrong with them."""


class ClipRecord(NamedTuple):
    """What a record says about its clip.

    id : as in the file, any text of ASCII characters
    start, end : seconds; any float, NaN included
    labels : in the file's order, any integers
    frames : one per second; 128 bytes each, if all is well
    """

    id: str
    start: float
    end: float
    labels: tuple[int, ...]
    frames: list[bytes]


# ----------------------------------------------------------------------------- framing
def split_records(data: bytes) -> Iterator[bytes | None]:
    """The contents of the records of a file, in order; None for one whose checksum is wrong.

    Raises BadRecord where the length of a record is damaged or reaches beyond the end of the file:
    where the next record starts is unknown then.
    """
    position, end = 0, len(data)
    while position < end:
        if end - position < _HEADER.size:
            raise BadRecord("the file ends inside the length of a record")
        length, length_crc = _HEADER.unpack_from(data, position)
        if masked_crc(data[position : position + 8]) != length_crc:
            raise BadRecord("the checksum of a record's length is wrong")
        position += _HEADER.size
        if length > end - position - _FOOTER.size:
            raise BadRecord("the file ends inside a record")
        content = data[position : position + length]
        position += length
        (crc,) = _FOOTER.unpack_from(data, position)
        position += _FOOTER.size
        yield content if masked_crc(content) == crc else None


def masked_crc(data: bytes) -> int:
    """The CRC32C of `data`, rotated and shifted as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


# ----------------------------------------------------------------------------- one record
def parse_clip(record: bytes) -> ClipRecord:
    """The clip that a record holds: a SequenceExample with AudioSet's features.

    These are `video_id` (bytes), `start_time_seconds`, `end_time_seconds` (float) and `labels`
    (int64) in the context, and the feature list `audio_embedding` (bytes). Others are skipped.

    Raises BadRecord when the message is malformed, a feature of the context is missing or has
    another type or number of values, or the record has more than MAX_RECORD_BYTES.
    """
    if len(record) > MAX_RECORD_BYTES:
        raise BadRecord(f"it has {len(record)} bytes, more than {MAX_RECORD_BYTES}")
    context: dict[bytes, tuple[int, int]] = {}
    frames: list[bytes] = []
    for key, begin, end in _fields(record, 0, len(record)):
        if key == _key(1):  # SequenceExample.context
            context |= _entries(record, begin, end)
        elif key == _key(2):  # SequenceExample.feature_lists
            value = _entries(record, begin, end).get(b"audio_embedding")
            if value:
                frames = _frames(record, *value)
    return ClipRecord(
        id=_id(_bytes_values(record, *_feature(context, b"video_id"))),
        start=_float(record, context, b"start_time_seconds"),
        end=_float(record, context, b"end_time_seconds"),
        labels=_int64_values(record, *_feature(context, b"labels")),
        frames=frames,
    )


def _feature(context: dict[bytes, tuple[int, int]], name: bytes) -> tuple[int, int]:
    if name not in context:
        raise BadRecord(f"it has no {name.decode()}")
    return context[name]


def _id(values: list[bytes]) -> str:
    if len(values) != 1 or not values[0].isascii():
        raise BadRecord("its video_id is not one text of ASCII characters")
    return values[0].decode("ascii")


def _float(data: bytes, context: dict[bytes, tuple[int, int]], name: bytes) -> float:
    """The one value of a Feature that holds a FloatList, packed or not."""
    found = []
    for values in _messages(data, *_feature(context, name), 2):  # Feature.float_list
        for key, a, b in _fields(data, *values):
            if key in (_key(1), _key(1, _I32)):
                found.append((a, b))
    if len(found) != 1 or found[0][1] - found[0][0] != _FLOAT.size:
        raise BadRecord(f"its {name.decode()} is not one float")
    return _FLOAT.unpack_from(data, found[0][0])[0]


def _int64_values(data: bytes, begin: int, end: int) -> tuple[int, ...]:
    """The values of a Feature that holds an Int64List, packed or not."""
    found = []
    for values in _messages(data, begin, end, 3):  # Feature.int64_list
        for key, a, b in _fields(data, *values):
            if key in (_key(1), _key(1, _VARINT)):
                while a < b:
                    value, a = _varint(data, a, b)
                    found.append(value - (1 << 64) if value >> 63 else value)
    return tuple(found)


def _bytes_values(data: bytes, begin: int, end: int) -> list[bytes]:
    """The values of a Feature that holds a BytesList."""
    return [
        data[a:b]
        for values in _messages(data, begin, end, 1)  # Feature.bytes_list
        for a, b in _messages(data, *values, 1)
    ]


def _frames(data: bytes, begin: int, end: int) -> list[bytes]:
    """The values of a FeatureList, whose Features hold a BytesList of one value each."""
    frames = []
    for a, b in _messages(data, begin, end, 1):  # FeatureList.feature
        values = _bytes_values(data, a, b)
        if len(values) != 1:
            raise BadRecord("a frame of its audio_embedding is not one string of bytes")
        frames += values
    return frames


# ----------------------------------------------------------------------------- the wire format
def _key(number: int, wire_type: int = _LEN) -> int:
    return number << 3 | wire_type


def _entries(data: bytes, begin: int, end: int) -> dict[bytes, tuple[int, int]]:
    """Name -> bounds of the message, for Features and FeatureLists: both are a map in field 1."""
    found = {}
    for entry in _messages(data, begin, end, 1):
        name, value = b"", (end, end)  # what an entry leaves out is empty
        for key, a, b in _fields(data, *entry):
            if key == _key(1):
                name = data[a:b]
            elif key == _key(2):
                value = a, b
        found[name] = value
    return found


def _messages(data: bytes, begin: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Bounds of the values of the fields with that number; those of other wire types skipped."""
    wanted = _key(number)
    for key, a, b in _fields(data, begin, end):
        if key == wanted:
            yield a, b


def _fields(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Key and bounds of the value of each field of the message data[begin:end].

    Raises BadRecord when one is cut short or reaches beyond `end`.
    """
    while begin < end:
        key, begin = _varint(data, begin, end)
        wire_type = key & 7
        if wire_type == _LEN:
            length, begin = _varint(data, begin, end)
            stop = begin + length
        elif wire_type == _VARINT:
            stop = _varint(data, begin, end)[1]
        elif wire_type in (_I32, _I64):
            stop = begin + (4 if wire_type == _I32 else 8)
        else:
            raise BadRecord(f"a field has the wire type {wire_type}")
        if stop > end:
            raise BadRecord("a field reaches beyond the end of its message")
        yield key, begin, stop
        begin = stop


def _varint(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """The unsigned number at data[begin:end], at most 64 bits, and where it ends."""
    if begin < end and data[begin] < 0x80:  # nearly all of them, and much of the time goes here
        return data[begin], begin + 1
    value = 0
    for shift in range(0, 70, 7):
        if begin >= end:
            raise BadRecord("a number is cut short")
        byte = data[begin]
        begin += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, begin
    raise BadRecord("a number has more than 10 bytes")
