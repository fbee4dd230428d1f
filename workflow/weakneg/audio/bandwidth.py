"""Recordings that hold far higher frequencies than the spectrograms made of them."""

from weakneg.audio.mel import LogMel

PAGE = "docs/own-recordings.md"
"""The page that says how to choose the frequencies of spectrograms."""

_FAR_MORE = 4  # times the sample rate: 16 kHz is common for recordings of 44.1 or 48 kHz


def misses_most_of(mel: LogMel, file_rate: int) -> bool:
    """Whether files hold far higher frequencies than spectrograms, and nobody chose that.

    Parameters
    ----------
    mel : LogMel
        What makes the spectrograms.
    file_rate : int
        Sample rate of the files, Hz.

    Returns
    -------
    bool
        True if so.
    """
    return mel.high_hz is None and file_rate >= _FAR_MORE * mel.sample_rate


def unheard(n_wide: int, n: int, file_rate: int, mel: LogMel) -> str:
    """Say that recordings hold far higher frequencies than spectrograms.

    Parameters
    ----------
    n_wide, n : int
        Number of such recordings, and of all.
    file_rate : int
        The highest sample rate of their files, Hz.
    mel : LogMel
        What makes the spectrograms.

    Returns
    -------
    str
        A line that names the page of the settings.
    """
    return (
        f"{n_wide:,} of {n:,} recordings may hold frequencies of up to {file_rate / 2000:g} kHz, "
        f"but the spectrograms end at {mel.highest_hz / 1000:g} kHz: see {PAGE} on sample_rate, "
        "low_hz and high_hz"
    )
