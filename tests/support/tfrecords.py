"""Writes TFRecord files of clips, sound and damaged ones: what the tests of the readers share."""

import struct

import google_crc32c

VARINT, LEN, I32 = 0, 2, 5


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, value: bytes, wire_type: int = LEN) -> bytes:
    length = varint(len(value)) if wire_type == LEN else b""
    return varint(number << 3 | wire_type) + length + value


def bytes_feature(*values: bytes) -> bytes:
    return field(1, b"".join(field(1, value) for value in values))


def float_feature(*values: float, packed: bool = True) -> bytes:
    encoded = [struct.pack("<f", value) for value in values]
    if packed:
        return field(2, field(1, b"".join(encoded)))
    return field(2, b"".join(field(1, value, I32) for value in encoded))


def int64_feature(*values: int, packed: bool = True) -> bytes:
    if packed:
        return field(3, field(1, b"".join(map(varint, values))))
    return field(3, b"".join(field(1, varint(value), VARINT) for value in values))


def entries(values: dict[str, bytes]) -> bytes:
    """A map from names to messages: Features, FeatureLists."""
    return b"".join(
        field(1, field(1, name.encode()) + field(2, value)) for name, value in values.items()
    )


def context(id="abcdefghijk", start=0.0, end=10.0, labels=(0,), packed=True) -> dict[str, bytes]:
    return {
        "video_id": bytes_feature(id.encode()),
        "start_time_seconds": float_feature(start, packed=packed),
        "end_time_seconds": float_feature(end, packed=packed),
        "labels": int64_feature(*labels, packed=packed),
    }


def frame_list(frames: list[bytes]) -> bytes:
    return b"".join(field(1, bytes_feature(frame)) for frame in frames)


def sequence_example(features: dict[str, bytes], frames: list[bytes]) -> bytes:
    return field(1, entries(features)) + field(2, entries({"audio_embedding": frame_list(frames)}))


def frames_of(id: str, n: int = 10) -> list[bytes]:
    """n frames that differ from clip to clip."""
    return [bytes((sum(id.encode()) + 7 * t + i) % 256 for i in range(128)) for t in range(n)]


def clip(id="abcdefghijk", *, frames: list[bytes] | None = None, **about) -> bytes:
    """A record as AudioSet publishes it; of ten frames if none are given."""
    return sequence_example(context(id, **about), frames_of(id) if frames is None else frames)


def masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15) + ((crc & 0x7FFF) << 17) + 0xA282EAD8) % (1 << 32))


def framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + masked(length) + record + masked(record)


def tfrecord(*records: bytes) -> bytes:
    return b"".join(map(framed, records))
