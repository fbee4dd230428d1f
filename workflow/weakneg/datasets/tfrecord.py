"""Reads the TFRecord files of AudioSet's features, without TensorFlow.

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
from functools import cache
from typing import Any, NamedTuple

import google_crc32c

MAX_RECORD_BYTES = 1 << 20
"""Size of the largest record that is parsed; a clip of AudioSet has 1.5 kB."""

_MASK_DELTA = 0xA282EAD8
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")

# Message -> its fields, numbered from 1, as in example.proto and feature.proto, with two
# differences. Maps are written as repeated entries, which is what they are on the wire, with bytes
# as keys: a name that is not UTF-8 is then skipped like any other unknown name. And the three kinds
# of a Feature are not a `oneof`: each is read when it is needed.
_MESSAGES = {
    "SequenceExample": {"context": "Features", "feature_lists": "FeatureLists"},
    "Features": {"feature": "repeated FeatureEntry"},
    "FeatureEntry": {"key": "bytes", "value": "Feature"},
    "FeatureLists": {"feature_list": "repeated FeatureListEntry"},
    "FeatureListEntry": {"key": "bytes", "value": "FeatureList"},
    "FeatureList": {"feature": "repeated Feature"},
    "Feature": {"bytes_list": "BytesList", "float_list": "FloatList", "int64_list": "Int64List"},
    "BytesList": {"value": "repeated bytes"},
    "FloatList": {"value": "repeated float"},
    "Int64List": {"value": "repeated int64"},
}


class BadRecord(ValueError):
    """A record or a file of records is damaged; the message says how."""


class ClipRecord(NamedTuple):
    """What a record says about its clip.

    Attributes
    ----------
    id : str
        As in the file: any ASCII text.
    start, end : float
        Seconds; any float, NaN included.
    labels : tuple of int
        In the order of the file; any 64-bit integers.
    frames : list of bytes
        One per second; 128 bytes each in an intact file.
    """

    id: str
    start: float
    end: float
    labels: tuple[int, ...]
    frames: list[bytes]


# ----------------------------------------------------------------------------- framing
def split_records(data: bytes) -> Iterator[bytes | None]:
    """Split a TFRecord file into its records.

    Parameters
    ----------
    data : bytes
        The whole file.

    Yields
    ------
    bytes or None
        The content of each record, in order; None if its checksum is wrong.

    Raises
    ------
    BadRecord
        If the length of a record is damaged or reaches beyond the end of the file: where the next
        record starts is then unknown.
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
    """Compute the checksum of `data` as TFRecord stores it: a rotated and shifted CRC32C.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    int
        32 bits, unsigned.
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


# ----------------------------------------------------------------------------- one record
def parse_clip(record: bytes) -> ClipRecord:
    """Parse a SequenceExample with AudioSet's features.

    These are `video_id` (bytes), `start_time_seconds`, `end_time_seconds` (float) and `labels`
    (int64) in the context, and the feature list `audio_embedding` (bytes). Others are skipped.

    Parameters
    ----------
    record : bytes
        The content of a record, as `split_records` yields it.

    Returns
    -------
    ClipRecord
        The clip; without frames if the record has no `audio_embedding`.

    Raises
    ------
    BadRecord
        If the message is malformed, a feature of the context is missing or has another type or
        number of values, or the record has more than MAX_RECORD_BYTES.
    """
    from google.protobuf.message import DecodeError  # slow to import, so not at the top

    if len(record) > MAX_RECORD_BYTES:
        raise BadRecord(f"it has {len(record)} bytes, more than {MAX_RECORD_BYTES}")
    try:
        example = _sequence_example().FromString(record)
    except DecodeError as error:
        raise BadRecord("it is not a valid SequenceExample message") from error
    # The last of several entries with the same key counts, as in any map of protocol buffers.
    context = {entry.key: entry.value for entry in example.context.feature}
    lists = {entry.key: entry.value for entry in example.feature_lists.feature_list}
    frames = lists[b"audio_embedding"].feature if b"audio_embedding" in lists else ()
    return ClipRecord(
        id=_id(context),
        start=_float(context, "start_time_seconds"),
        end=_float(context, "end_time_seconds"),
        labels=tuple(_feature(context, "labels").int64_list.value),
        frames=[_frame(each) for each in frames],
    )


@cache
def _sequence_example() -> Any:
    """The class of SequenceExample messages, built from `_MESSAGES`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sequence_example.proto", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field_name, declared) in enumerate(fields.items(), start=1):
            *repeated, kind = declared.split()
            field = message.field.add(name=field_name, number=number)
            field.label = field_types.LABEL_REPEATED if repeated else field_types.LABEL_OPTIONAL
            if kind in _MESSAGES:
                field.type, field.type_name = field_types.TYPE_MESSAGE, kind
            else:
                field.type = field_types.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("SequenceExample"))


def _feature(context: dict[bytes, Any], name: str) -> Any:
    if name.encode() not in context:
        raise BadRecord(f"it has no {name}")
    return context[name.encode()]


def _id(context: dict[bytes, Any]) -> str:
    values = _feature(context, "video_id").bytes_list.value
    if len(values) != 1 or not values[0].isascii():
        raise BadRecord("its video_id is not a single ASCII text")
    return values[0].decode("ascii")


def _float(context: dict[bytes, Any], name: str) -> float:
    values = _feature(context, name).float_list.value
    if len(values) != 1:
        raise BadRecord(f"its {name} is not a single float")
    return values[0]


def _frame(feature: Any) -> bytes:
    values = feature.bytes_list.value
    if len(values) != 1:
        raise BadRecord("a frame of its audio_embedding is not a single byte string")
    return values[0]
