"""When and where a recorder made a recording: from the name of the file, or from its header.

Names have the time as most recorders write it, after a prefix that says where:

- Song Meter and others of Wildlife Acoustics: SITE1_20190831_063000.wav, also with channels or
  milliseconds, SITE1_0+1_20190831_063000_000.wav, or $ where the clock was set by GPS;
- AudioMoth: 20190831_063000.WAV, with T after it for triggered recordings and its number before it
  as an option; older ones: the seconds since 1970 in hexadecimal digits, 5D6A1308.WAV, of which
  one must be a letter;
- SWIFT and Frontier Labs: SITE1_20190831T063000-0400_rec.wav, 20190831T063000+1000_REC.flac;
- 2019-08-31_06-30-00 and the like.

Of several times in a name, the first counts; a date without time only where there is none. Dates
that begin with the day or the month are not read: names do not say with which of them.

What the name does not say is looked for in GUANO metadata, if the package guano is installed, and
in the comment of an AudioMoth. Times are as the recorder wrote them: in its time zone.
"""

import os
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

_SEPARATOR = r"[-_.: ]?"
# A date has one separator throughout: hour and minute after a year are not taken for a date.
_WHEN = [
    re.compile(
        rf"(?<!\d)((?:19|20)\d\d)({in_date})(\d\d)\2(\d\d)"
        rf"(?:{before_time}(\d\d){_SEPARATOR}(\d\d){_SEPARATOR}(\d\d))?(?!\d)"
    )
    for in_date, before_time in (("", "[T_$ -]?"), ("[-_.: ]", "[T_$ -]"))
]
_DAY_AND_MONTH = re.compile(r"\d\d([-_.])\d\d\1$")  # before their year
_CHANNELS = re.compile(r"_(0|1|0\+1)$")  # of a Song Meter, before the time
_HEXADECIMAL = re.compile(r"(?=.*[A-F])[0-9A-F]{8}")  # only digits may be any number
_FIRST = datetime(2015, 1, 1, tzinfo=UTC).timestamp()  # before there were AudioMoths
_LAST = datetime(2038, 1, 1, tzinfo=UTC).timestamp()
_AUDIOMOTH = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4})(?: \(UTC.*?\))?"
    r"(?: during deployment \w+)? by AudioMoth (\w{16})"
)
_PREFIX = "WA|Song Meter|Prefix"  # in GUANO metadata


class Made(NamedTuple):
    """When and where a recording was made.

    Attributes
    ----------
    date : str
        Such as "2019-08-31"; empty if it is not known.
    time : str
        Such as "06:30:00", in the time zone of the recorder; empty if it is not known.
    site : str
        The prefix of the name, or the number of the recorder; empty if there is none.
    """

    date: str = ""
    time: str = ""
    site: str = ""

    def after(self, seconds: float) -> "Made":
        """The same some seconds later, to the second."""
        if not self.time:
            return self
        later = datetime.fromisoformat(f"{self.date}T{self.time}") + timedelta(seconds=seconds)
        return Made(later.date().isoformat(), later.strftime("%H:%M:%S"), self.site)


@cache
def made(path: str) -> Made:
    """Find out when and where a recording was made.

    Parameters
    ----------
    path : str
        The audio file, which is only opened where its name does not say all.

    Returns
    -------
    Made
        What is known.
    """
    found = by_name(Path(path).stem)
    for read in (_by_guano, _by_comment):
        if found.date and found.time and found.site:
            break
        other = read(path)
        when = found[:2] if found.time or not other.time else other[:2]
        found = Made(*when, found.site or other.site)
    return found


def by_name(stem: str) -> Made:
    """What the name of a recording says, without its suffix."""
    matches = [match for pattern in _WHEN for match in pattern.finditer(stem)]
    for match in sorted(matches, key=lambda match: (match[5] is None, match.start())):
        year, separator, *others = match.groups(default="0")
        has_time, before = match[5] is not None, stem[: match.start()]
        if separator and not has_time and _DAY_AND_MONTH.search(before):
            continue
        try:
            when = datetime(*map(int, (year, *others)))  # type: ignore[arg-type]
        except ValueError:  # other digits
            continue
        site = _CHANNELS.sub("", before.rstrip("_- ")).rstrip("_- ")
        return Made(when.date().isoformat(), when.strftime("%H:%M:%S") if has_time else "", site)
    if _HEXADECIMAL.fullmatch(stem) and _FIRST <= int(stem, 16) < _LAST:
        return _made(datetime.fromtimestamp(int(stem, 16), UTC))
    return Made()


def _made(when: datetime, site: str = "") -> Made:
    return Made(when.date().isoformat(), when.strftime("%H:%M:%S"), site)


def _by_guano(path: str) -> Made:
    try:
        import guano
    except ImportError:
        return Made()
    try:
        metadata = guano.GuanoFile(path)
    except Exception:  # not WAV, or damaged: then its name is all there is
        return Made()
    when, site = metadata.get("Timestamp"), str(metadata.get(_PREFIX) or "")
    return _made(when, site) if isinstance(when, datetime) else Made(site=site)


def _by_comment(path: str) -> Made:
    import soundfile

    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:  # names may be no text
            match = _AUDIOMOTH.search(file.comment)
    except (OSError, RuntimeError):
        return Made()
    if match is None:
        return Made()
    hour, minute, second, day, month, year = map(int, match.groups()[:6])
    return _made(datetime(year, month, day, hour, minute, second), match[7])
