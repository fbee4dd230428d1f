"""ffmpeg: where it is, and the sound of a file as it decodes it."""

import os
import re
import select
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weakneg.audio.errors import UNREADABLE, AudioError

_QUIET_SECONDS = 600  # ffmpeg is ended if it gives no sound for that long
_BLOCK_BYTES = 1 << 20
_LONGEST_MESSAGES = 1 << 16  # bytes
_HEADER_BYTES = 24  # of AU, without a comment

# What ffmpeg may read: containers of audio and video that cannot refer to other files.
_CONTAINERS = (
    "3gp,aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,gsm,iff,ircam,"
    "loas,m4a,matroska,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,nistsphere,nut,ogg,oma,pvf,rm,shn,sox,svx,tak,"
    "tta,voc,vqf,w64,wav,webm,wsd,wv,xwma"
)

# What ffmpeg says, in the words of this project.
_MEANINGS = (
    (r"matches no streams|does not contain any stream", "a video or file without sound"),
    (r"not on whitelist", "a kind of file that is not read, such as a playlist"),
    (r"moov atom not found", "cut short: the table of its contents, at its end, is missing"),
)

# What it complains about where no sound is lost: pictures, and several recordings in one file.
_HARMLESS = (
    r"^$|^\[(png|mjpeg|gif|bmp|webp|h264|hevc|vp8|vp9|av1)\b|non monotonically increasing dts"
    r"|Header missing|parsing the packet header"
)


def find_ffmpeg() -> str | None:
    """Path of the system's ffmpeg, else of the one in the package imageio-ffmpeg, else None."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


class Decoder:
    """A running ffmpeg that decodes a file from its start: no seek of ffmpeg is exact.

    Attributes
    ----------
    rate : int
        Hz.
    channels : int
        Number of channels.
    message : str
        What ffmpeg complained about in the end; empty if it read the file without complaint.

    Parameters
    ----------
    ffmpeg : str
        Path of the program.
    path : path
        The file.
    options : sequence of str
        How ffmpeg reads the file; by default, it finds out.

    Raises
    ------
    AudioError
        When ffmpeg cannot read the file.
    """

    def __init__(
        self, ffmpeg: str, path: str | os.PathLike[str], options: Sequence[str] = ()
    ) -> None:
        # `file:` and an absolute path: no name is taken for an option or the address of a server.
        command = [ffmpeg, "-nostdin", "-v", "error"]
        command += ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, *options]
        command += ["-i", f"file:{Path(path).absolute()}", "-map", "0:a:0"]
        # Where packets are missing by their times, there is silence: what follows is at its time.
        command += ["-af", "aresample=async=1:min_hard_comp=0.015"]
        command += ["-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
        # A file takes all that ffmpeg says, while a pipe would have to be read.
        self._messages = tempfile.TemporaryFile(prefix="weakneg-")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._messages,
            )
        except BaseException:
            self._messages.close()
            raise
        self._ended = False
        self.message = ""
        try:
            header = self._bytes(_HEADER_BYTES)
            if len(header) < _HEADER_BYTES:
                said = self.message or "it gives no sound"
                raise AudioError(UNREADABLE, f"not readable by libsndfile or ffmpeg ({said})")
            _, begin, _, _, self.rate, self.channels = struct.unpack(">6I", header)
            self._bytes(begin - _HEADER_BYTES)
        except BaseException:
            self.close()
            raise

    def read(self) -> np.ndarray:
        """Return the next samples, (n, channels) float32; none at the end of the sound."""
        frame_bytes = 4 * self.channels
        content = self._bytes(max(1, _BLOCK_BYTES // frame_bytes) * frame_bytes)
        whole = len(content) // frame_bytes * frame_bytes
        return np.frombuffer(content[:whole], ">f4").astype("f4").reshape(-1, self.channels)

    def close(self) -> None:
        """End ffmpeg."""
        if not self._messages.closed:
            self._process.kill()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process.wait()
            self._messages.close()

    def _bytes(self, count: int) -> bytes:
        """The next `count` bytes, or fewer at the end."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        content = bytearray()
        while len(content) < count and not self._ended:
            if not select.select([pipe], [], [], _QUIET_SECONDS)[0]:
                raise AudioError(UNREADABLE, f"ffmpeg gave no sound within {_QUIET_SECONDS} s")
            piece = os.read(pipe, count - len(content))
            content += piece
            if not piece:
                self._end()
        return bytes(content)

    def _end(self) -> None:
        self._ended = True
        status = self._process.wait()
        self._messages.seek(0)
        said = self._messages.read(_LONGEST_MESSAGES).decode("utf-8", "replace").splitlines()
        line = next((line.strip() for line in said if not re.search(_HARMLESS, line.strip())), "")
        line = re.sub(r"^\[[^]]*\] ", "", line)[:300]  # an address in memory
        if status and not line:
            line = f"ended with status {status}"
        self.message = next((text for said, text in _MEANINGS if re.search(said, line)), line)
