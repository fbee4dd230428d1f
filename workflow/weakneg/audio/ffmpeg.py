"""The ffmpeg that cuts what is downloaded, and decodes what libsndfile does not read."""

import shutil


def find_ffmpeg() -> str | None:
    """Path of the system's ffmpeg, or of that in the package imageio-ffmpeg, if there is one."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return None
