"""The ffmpeg that cuts downloads and decodes what libsndfile cannot read."""

import shutil


def find_ffmpeg() -> str | None:
    """Path of the system's ffmpeg, else of the one in the package imageio-ffmpeg, else None."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None
