"""How much sound a file holds, where what its header says is known to be wrong now and then.

Recorders that lose power leave 0 as the size of a WAV file, sizes above 4 GiB wrap around, and many
MP3 files have no header at all. libsndfile believes what it reads there. The structure of these
files is simple, so it is checked here, without decoding anything.
"""

import mmap
import os
import struct
import zlib
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

# ---- WAV and AIFF --------------------------------------------------------------------------------
_UNKNOWN_SIZE = 0xFFFFFFFF  # also: the size is in another chunk
_BYTE_ORDER = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">", b"FORM": ">"}


@dataclass(frozen=True)
class Chunk:
    """The samples of a WAV or AIFF file.

    Attributes
    ----------
    is_wav : bool
        Whether it is a WAV file.
    said, found : int
        Bytes that the header promises and that are there. `found` is larger than `said` if what
        follows is not another chunk, but sound.
    """

    is_wav: bool
    said: int
    found: int


def sound_chunk(descriptor: int) -> Chunk | None:
    """Measure the samples of a WAV or AIFF file.

    Parameters
    ----------
    descriptor : int
        The open file; its position does not change.

    Returns
    -------
    Chunk or None
        None for other files, and for those without samples.
    """
    size = os.fstat(descriptor).st_size
    order = _BYTE_ORDER.get(os.pread(descriptor, 4, 0))
    if order is None or os.pread(descriptor, 4, 8) not in (b"WAVE", b"AIFF", b"AIFC"):
        return None
    position, long_size = 12, 0
    while (header := _chunk_header(descriptor, position, order)) is not None:
        name, length = header
        begin = position + 8
        if name == b"ds64":
            (long_size,) = struct.unpack("<Q", os.pread(descriptor, 8, begin + 8).ljust(8, b"\0"))
        if name in (b"data", b"SSND"):
            there = size - begin
            if length == _UNKNOWN_SIZE:
                length = long_size or there
            if length >= there or _are_chunks(descriptor, begin + length, size, order):
                return Chunk(name == b"data", length, min(length, there))
            return Chunk(name == b"data", length, there)
        position = begin + length + length % 2
    return None


def _chunk_header(descriptor: int, position: int, order: str) -> tuple[bytes, int] | None:
    header = os.pread(descriptor, 8, position)
    return struct.unpack(f"{order}4sI", header) if len(header) == 8 else None


def _are_chunks(descriptor: int, position: int, size: int, order: str) -> bool:
    """Whether all that follows is chunks. Some writers forget to pad these to even positions."""
    if position + 8 > size:
        return True  # nothing, or less than a header
    header = _chunk_header(descriptor, position, order)
    if header and all(32 <= byte < 127 for byte in header[0]):
        end = position + 8 + header[1]
        if end <= size + 1:
            return any(_are_chunks(descriptor, end + pad, size, order) for pad in {end % 2, 0})
    return position % 2 == 1 and _are_chunks(descriptor, position + 1, size, order)


# ---- MP3 -----------------------------------------------------------------------------------------
_BIT_RATES = {  # kbit/s, by version
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)  # Hz, of version 1; version 2 has half of them, 2.5 a quarter
_MPEG_1, _MPEG_2, _MPEG_2_5, _LAYER_3 = 3, 2, 0, 1  # as the bits of a frame say it
_HAS_FRAMES, _HAS_BYTES, _HAS_TABLE, _HAS_QUALITY = 1, 2, 4, 8  # flags of the header
_TELL_DELAY = (b"LAME", b"Lavf", b"Lavc")  # encoders whose header has their delay
_DECODER_DELAY = 529  # samples
_RECENT = 64  # frames whose mean length is that of lost ones
_LONGEST_JUNK = 1 << 16  # bytes between a tag and the first frame


@dataclass(frozen=True)
class Mp3:
    """The frames of an MP3 file.

    Attributes
    ----------
    frames : int
        Number of frames with sound.
    frame_samples : int
        Samples in a frame.
    said : int or None
        Number of frames that the header promises, if there is one.
    begin : int
        Where the first of them is, bytes from the start of the file.
    delay : int
        Samples at the start that are not part of the sound.
    gaps : tuple of (int, int)
        Damaged places: the number of frames before it, and how many are lost there; an estimate if
        the bit rate varies and the header does not tell.
    as_said : bool
        Whether the file is what its header says: nothing is missing, nothing is damaged.
    """

    frames: int
    frame_samples: int
    said: int | None
    begin: int
    delay: int
    gaps: tuple[tuple[int, int], ...]
    as_said: bool


def mp3_frames(descriptor: int) -> Mp3 | None:
    """Find the frames of an MP3 file, without decoding them: half a second for six hours.

    Parameters
    ----------
    descriptor : int
        The open file; its position does not change.

    Returns
    -------
    Mp3 or None
        None for other files.
    """
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        begin = _after_tags(content, 0)
        first = _next_frame(content, begin, begin + (_LONGEST_JUNK if begin else 1))
        if first is None:
            return None
        kind = _kind(content[first : first + 3])
        assert kind is not None
        return _walk(content, first, *kind)


def _after_tags(content: mmap.mmap, position: int) -> int:
    """Where the tags end that begin at `position`."""
    while True:
        header = content[position : position + 10]
        if header[:3] == b"TAG":
            position += 128
        elif header[:3] == b"ID3" and len(header) == 10:
            size = 0
            for byte in header[6:]:
                size = size << 7 | byte & 127
            position += 10 + size
        else:
            return min(position, len(content))


def _walk(content: mmap.mmap, first: int, version: int, rate: int) -> Mp3:
    lengths, samples = _frame_lengths(version, rate), 1152 if version == _MPEG_1 else 576
    said, said_bytes, delay = _promise(content[first : first + 400])
    position = begin = first + (0 if said is None else lengths[content[first : first + 3]])
    frames = 0
    recent = deque[int](maxlen=_RECENT)
    gaps: list[tuple[int, int]] = []
    while True:
        length = lengths.get(content[position : position + 3])
        if length is not None and position + length <= len(content):
            frames, position = frames + 1, position + length
            recent.append(length)
            continue
        if (after := _after_tags(content, position)) > position:  # one file after another
            position = after
            continue
        following = _next_frame(content, position + 1, len(content), (version, rate))
        if following is None:
            break
        lost = round((following - position) * len(recent) / max(1, sum(recent)))
        gaps.append((frames, max(1, lost)))
        position = following
    if len(gaps) == 1 and said is not None and said > frames:
        gaps = [(gaps[0][0], said - frames)]
    as_said = not gaps and (said is None or said == frames)
    if said_bytes is not None:  # libmpg123 complains about a wrong size
        as_said = as_said and abs(len(content) - first - said_bytes) <= 0.01 * said_bytes
    return Mp3(frames, samples, said, begin, delay, tuple(gaps), as_said)


def _promise(frame: bytes) -> tuple[int | None, int | None, int]:
    """The number of frames and of bytes that the first frame promises, and the decoder's delay."""
    if (at := frame.find(b"VBRI", 4)) >= 0:
        size, frames = struct.unpack(">II", frame[at + 10 : at + 18].ljust(8, b"\0"))
        return frames, size, 0
    at = max(frame.find(name, 4) for name in (b"Xing", b"Info"))
    if at < 0 or not frame[at + 7] & _HAS_FRAMES:
        return None, None, 0
    flags, position = frame[at + 7], at + 8
    values = {}
    for flag, length in ((_HAS_FRAMES, 4), (_HAS_BYTES, 4), (_HAS_TABLE, 100), (_HAS_QUALITY, 4)):
        if flags & flag:
            values[flag] = int.from_bytes(frame[position : position + length], "big")
            position += length
    encoder, delays = frame[position : position + 4], frame[position + 21 : position + 24]
    delay = int.from_bytes(delays, "big") >> 12
    delay = delay + _DECODER_DELAY if encoder in _TELL_DELAY else 0
    return values[_HAS_FRAMES], values.get(_HAS_BYTES), delay


def _next_frame(
    content: mmap.mmap, position: int, limit: int, kind: tuple[int, int] | None = None
) -> int | None:
    """Where the next frame begins that is followed by another one or by the end."""
    while (position := content.find(b"\xff", position, limit)) >= 0:
        header = content[position : position + 3]
        found = _kind(header)
        if found is not None and kind in (None, found):
            lengths = _frame_lengths(*found)
            end = position + lengths.get(header, len(content))
            if end == len(content) or content[end : end + 3] in lengths:
                return position
        position += 1
    return None


def _kind(header: bytes) -> tuple[int, int] | None:
    """Version and sample rate of a frame of MP3, as the bits of its header."""
    if len(header) < 3 or header[1] & 0xE0 != 0xE0 or header[1] >> 1 & 3 != _LAYER_3:
        return None
    version, rate = header[1] >> 3 & 3, header[2] >> 2 & 3
    return (version, rate) if version != 1 and rate < len(_RATES) else None


@lru_cache
def _frame_lengths(version: int, rate: int) -> dict[bytes, int]:
    """Length in bytes by the first three bytes of a frame; the free format has none."""
    bit_rates = _BIT_RATES[_MPEG_1 if version == _MPEG_1 else _MPEG_2]
    hertz = _RATES[rate] >> {_MPEG_1: 0, _MPEG_2: 1, _MPEG_2_5: 2}[version]
    lengths = {}
    for number, bit_rate in enumerate(bit_rates, 1):
        for padding in (0, 1):
            length = (144 if version == _MPEG_1 else 72) * bit_rate * 1000 // hertz + padding
            for private in (0, 1):
                for checked in (0, 1):
                    second = 0xE0 | version << 3 | _LAYER_3 << 1 | checked
                    third = number << 4 | rate << 2 | padding << 1 | private
                    lengths[bytes((0xFF, second, third))] = length
    return lengths


# ---- Ogg -----------------------------------------------------------------------------------------
_PAGE = struct.Struct("<4sBBqIIIB")  # OggS, version, flags, samples so far, stream, number, CRC, n
_LAST_PAGE = 4  # a flag
_NO_SAMPLES = -1  # no packet ends on the page
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Ogg:
    """The pages of an Ogg file.

    Attributes
    ----------
    damage : tuple of (int, int)
        Damaged places: first sample, and the one after the last. Decoders leave them out, so that
        all that follows comes too early.
    is_cut : bool
        Whether the last page is missing.
    """

    damage: tuple[tuple[int, int], ...]
    is_cut: bool


def ogg_pages(descriptor: int) -> Ogg | None:
    """Check the pages of an Ogg file.

    Parameters
    ----------
    descriptor : int
        The open file; its position does not change.

    Returns
    -------
    Ogg or None
        None for other files, and for those of several streams.
    """
    damage: list[tuple[int, int]] = []
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        if content[:4] != b"OggS":
            return None
        position = reached = flags = number = 0
        stream = before = None  # before: samples before the damaged pages
        while 0 <= position < len(content):
            if (page := _page(content, position)) is None:
                before = reached if before is None else before
                position = content.find(b"OggS", position + 1)
                continue
            size, flags, samples, found, numbered = page
            if stream not in (None, found):
                return None
            if numbered > number and before is None:
                before = reached
            stream, number, position = found, numbered + 1, position + size
            if samples != _NO_SAMPLES:
                if before is not None:
                    damage.append((before, max(before, samples)))
                reached, before = samples, None
    return Ogg(tuple(damage), not flags & _LAST_PAGE)


def _page(content: mmap.mmap, position: int) -> tuple[int, int, int, int, int] | None:
    """Size, flags, samples so far, stream and number of a page; None if it is damaged."""
    header = content[position : position + _PAGE.size]
    if len(header) < _PAGE.size:
        return None
    _, _, flags, samples, stream, number, checksum, segments = _PAGE.unpack(header)
    lengths = content[position + _PAGE.size : position + _PAGE.size + segments]
    size = _PAGE.size + segments + sum(lengths)
    page = content[position : position + size]
    # The CRC of Ogg is that of zlib with the bits of each byte, and of the result, reversed.
    page = page[:22] + bytes(4) + page[26:]
    found = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    same = int(f"{found:032b}"[::-1], 2) == checksum
    return (size, flags, samples, stream, number) if same and header[:4] == b"OggS" else None


# ---- FLAC ----------------------------------------------------------------------------------------
_LAST_BLOCK = 0x80  # a flag of blocks of metadata


def is_piece_of_flac(descriptor: int) -> bool:
    """Whether a FLAC file does not begin with frame 0: it was cut from another one.

    Its frames have the times of the original, so it cannot be entered at a time of its own.

    Parameters
    ----------
    descriptor : int
        The open file; its position does not change.

    Returns
    -------
    bool
        False for other files.
    """
    if os.pread(descriptor, 4, 0) != b"fLaC":
        return False
    position, flags = 4, 0
    while not flags & _LAST_BLOCK:
        header = os.pread(descriptor, 4, position)
        if len(header) < 4:
            return False
        flags, position = header[0], position + 4 + int.from_bytes(header[1:], "big")
    frame = os.pread(descriptor, 5, position)
    return len(frame) == 5 and frame[0] == 0xFF and frame[1] >> 2 == 0x3E and frame[4] != 0
