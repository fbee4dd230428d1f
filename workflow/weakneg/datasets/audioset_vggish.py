"""AudioSet's published features: one 128-dimensional VGGish embedding per second of a clip.

22,160 balanced training clips and 20,371 evaluation clips of up to 10 frames, uint8. AudioSet's
lists name the clips and their labels (see `audioset_lists`).

Sources: S. Hershey et al., "CNN Architectures for Large-Scale Audio Classification", ICASSP 2017
(VGGish; the embeddings are whitened by PCA and quantised to 8 bits); AudioSet's download page (the
archive, of 2.4 GB, most of it the unbalanced training clips that are not used here).
"""

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from weakneg.datasets import Clips, Dataset, Folder, Problem, audioset_lists
from weakneg.datasets.local_copy import find_local_copy, how_to_name_one
from weakneg.datasets.tfrecord import BadRecord, ClipRecord, parse_clip, split_records
from weakneg.errors import UserError
from weakneg.io.download import download
from weakneg.io.files import replace_when_whole
from weakneg.io.progress import Progress

CLASSES: tuple[str, ...] = tuple(each.name for each in audioset_lists.classes())

ARCHIVE = "features.tar.gz"
FILES: tuple[str, ...] = (*audioset_lists.LISTS, ARCHIVE)

FRAMES, WIDTH = 10, 128
"""Number of frames of the longest clip, and number of features per frame."""

_NAME = "audioset_vggish"
_ARCHIVE_URL = (
    "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/features/features.tar.gz"
)

# No checksum of the archive is published: a damaged local copy is only noticed when it is read.
_FETCH_AGAIN = (
    "delete it, and the local copy that it links to, if any, so that the next run fetches it again"
)

# Split -> its folder in the archive, and its list.
_SPLITS = {
    "train": ("bal_train", audioset_lists.TRAIN_LIST),
    "test": ("eval", audioset_lists.EVAL_LIST),
}

_MEMBER = re.compile(r"(?:.*/)?(bal_train|eval)/([A-Za-z0-9_-]{1,100}\.tfrecord)")
_MAX_MEMBER_BYTES = 64 << 20  # larger files are not read into memory; the real ones have 23 kB
_SAME_TIME_SECONDS = 0.5
_CHUNK_BYTES = 1 << 20


# ----------------------------------------------------------------------------- fetching
def fetch(folder: Folder, local_copy: Folder | None = None) -> None:
    """Put `FILES` into a folder.

    The lists are checked by their md5. None is published for the archive: a download is checked
    against the one that the server sends, and every record has its own checksum, checked when it is
    read.

    Parameters
    ----------
    folder : path
        Where to put them.
    local_copy : path, optional
        A folder that has them, or its parent. By default they come from the folder `audioset` in
        the folder that WEAKNEG_DATA names, if it exists, and are downloaded otherwise. A local
        archive is not copied but linked to.

    Raises
    ------
    UserError
        When the local copy does not exist, a file is missing or is not the published one, or the
        download fails.
    """
    folder = Path(folder)
    archive = folder / ARCHIVE
    if archive.is_file() and audioset_lists.has_lists(folder):
        return
    source = find_local_copy(_NAME, audioset_lists.FOLDER, FILES, local_copy)
    name_one = how_to_name_one(_NAME, audioset_lists.FOLDER)
    instead = f"{'run again' if source is None else 'replace it'}, or {name_one}"
    audioset_lists.fetch_lists(folder, source, instead)
    if archive.is_file():
        return
    if source is None:
        download(_ARCHIVE_URL, archive, instead=instead)
    else:
        _link(source / ARCHIVE, archive, instead)


def _link(source: Path, target: Path, what_to_do: str) -> None:
    """Make `target` a symbolic link, since the archive has gigabytes.

    Not a hard link: Snakemake sets the times of the files that a job makes, and would change those
    of the source.
    """
    if not source.is_file():
        raise UserError(f"{source} is missing: {what_to_do}.")
    with replace_when_whole(target) as temporary:
        temporary.symlink_to(source.resolve())


# ----------------------------------------------------------------------------- reading
def load_clips(folder: Folder) -> tuple[dict[str, Clips], list[Problem]]:
    """Load the clips that a list names and that have an intact record in the archive.

    Labels and times are those of the lists. The archive is read once, from front to back, and is
    not unpacked.

    Parameters
    ----------
    folder : path
        Folder of `FILES`.

    Returns
    -------
    dict of str to Clips
        The splits "train" and "test".
    list of Problem
        What was wrong with some of the clips.

    Raises
    ------
    UserError
        When a file is missing or damaged, or a split has no clips.
    """
    folder = Path(folder)
    splits = {
        directory: _Split(name, directory, audioset_lists.read_segments(folder / file))
        for name, (directory, file) in _SPLITS.items()
    }
    archive = folder / ARCHIVE
    for directory, file, content in _members(archive):
        splits[directory].add_file(file, content)
    for split in splits.values():
        split.add_missing()
        if not split.n_clips:
            raise UserError(
                f"{archive} has no features for the clips of the {split.name} list: {_FETCH_AGAIN}."
            )
    clips = {split.name: split.clips() for split in splits.values()}
    return clips, [problem for split in splits.values() for problem in split.problems]


def related_classes(folder: Folder) -> dict[str, frozenset[str]]:
    """Read the related classes from the ontology in `folder`, see `audioset_lists`."""
    return audioset_lists.related_classes(Path(folder) / audioset_lists.ONTOLOGY)


def _members(path: Path) -> Iterator[tuple[str, str, bytes | None]]:
    """Yield folder, file name and content of each file of features in the archive.

    The content is None if it is too large to be held in memory.
    """
    try:
        with (
            Progress(f"reading {ARCHIVE}", os.path.getsize(path), "bytes") as progress,
            open(path, "rb") as compressed,
            gzip.GzipFile(fileobj=compressed) as stream,
        ):
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK_BYTES) as tar:
                while (member := tar.next()) is not None:
                    match = _MEMBER.fullmatch(member.name)
                    if match and member.isreg() and not member.issparse():
                        content = None
                        if member.size <= _MAX_MEMBER_BYTES:
                            file = tar.extractfile(member)
                            assert file is not None  # the member is a regular file
                            content = file.read()
                        yield match[1], match[2], content
                    progress.add(compressed.tell() - progress.done)
                # tarfile takes a damaged header, or missing data, for the end of the archive, which
                # is at least two blocks of zeros. It has read one of them. Reading all of them also
                # makes gzip check its checksum, which comes last.
                zeros = 0
                assert tar.fileobj is not None
                while rest := tar.fileobj.read(_CHUNK_BYTES):
                    if any(rest):
                        raise tarfile.ReadError("a header is damaged")
                    zeros += len(rest)
                if zeros < tarfile.BLOCKSIZE:
                    raise tarfile.ReadError("its end is missing")
            progress.add(compressed.tell() - progress.done)
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} is missing or damaged ({reason}): {_FETCH_AGAIN}.") from error


class _Split:
    """Collects the clips of one split.

    Parameters
    ----------
    name : str
        "train" or "test".
    directory : str
        Its folder in the archive.
    segments : dict of str to Segment
        Its list.
    """

    def __init__(self, name: str, directory: str, segments: dict[str, audioset_lists.Segment]):
        self.name, self.directory, self.segments = name, directory, segments
        self.problems: list[Problem] = []
        self._ids = sorted(segments)
        self._row = {clip_id: row for row, clip_id in enumerate(self._ids)}
        self._x = np.zeros((len(segments), FRAMES, WIDTH), np.uint8)
        self._length = np.zeros(len(segments), np.int64)  # stays 0 for excluded clips
        self._seen: set[str] = set()

    @property
    def n_clips(self) -> int:
        return int(np.count_nonzero(self._length))

    def add_file(self, name: str, content: bytes | None) -> None:
        """Take the records of a file in the archive; `content` is None if it is too large."""
        file = f"{self.directory}/{name}"
        if content is None:
            self._problem("", f"{file} has more than {_MAX_MEMBER_BYTES} bytes")
            return
        number = 0
        try:
            for number, record in enumerate(split_records(content), start=1):
                where = f"record {number} of {file}"
                if record is None:
                    self._problem("", f"{where}: its checksum is wrong")
                else:
                    self._add_record(where, record)
        except BadRecord as error:
            self._problem("", f"{file}, everything after record {number}: {error}")

    def _add_record(self, where: str, record: bytes) -> None:
        try:
            clip = parse_clip(record)
        except BadRecord as error:
            self._problem("", f"{where}: {error}")
            return
        if clip.id not in self.segments:
            known = audioset_lists.CLIP_ID.fullmatch(clip.id)
            self._problem(clip.id if known else "", f"{where}: its clip is not in the list")
            return
        if clip.id in self._seen:
            self._problem(
                clip.id, f"{where}: its clip has another record", "the first record is used"
            )
            return
        self._seen.add(clip.id)
        n_frames = len(clip.frames)
        if not 1 <= n_frames <= FRAMES:
            self._problem(clip.id, f"{where}: it has {n_frames} frames, not 1 to {FRAMES}")
            return
        for frame in clip.frames:
            if len(frame) != WIDTH:
                self._problem(clip.id, f"{where}: a frame has {len(frame)} bytes, not {WIDTH}")
                return
        self._compare(clip)
        row = self._row[clip.id]
        self._x[row, :n_frames] = np.frombuffer(b"".join(clip.frames), np.uint8).reshape(-1, WIDTH)
        self._length[row] = n_frames

    def _compare(self, clip: ClipRecord) -> None:
        """Note where the record disagrees with the list, which counts."""
        segment = self.segments[clip.id]
        if set(clip.labels) != set(segment.labels):
            self._problem(clip.id, "its record has different labels", "the list's labels are used")
        # Written so that NaN disagrees, too.
        if not (
            abs(clip.start - segment.start) <= _SAME_TIME_SECONDS
            and abs(clip.end - segment.end) <= _SAME_TIME_SECONDS
        ):
            self._problem(
                clip.id,
                f"its record says {clip.start:g} to {clip.end:g} s, the list "
                f"{segment.start:g} to {segment.end:g} s",
                "the list's times are used",
            )

    def add_missing(self) -> None:
        """Note the clips of the list that had no readable record."""
        for clip_id in self._ids:
            if clip_id not in self._seen:
                self._problem(clip_id, "it has no features in the archive")

    def clips(self) -> Clips:
        """Return the clips that are not excluded."""
        kept = np.flatnonzero(self._length)
        segments = [self.segments[self._ids[row]] for row in kept]
        y = np.zeros((len(kept), len(CLASSES)), np.uint8)
        for row, segment in enumerate(segments):
            y[row, list(segment.labels)] = 1
        return Clips(
            x=self._x[kept],
            length=self._length[kept],
            id=np.array(self._ids)[kept],
            start=np.array([segment.start for segment in segments]),
            y=y,
        )

    def _problem(self, clip_id: str, problem: str, consequence: str = "excluded") -> None:
        self.problems.append(Problem(self.name, clip_id, problem, consequence))


DATASET = Dataset(
    kind="clips",
    class_names=CLASSES,
    files=FILES,
    fetch=fetch,
    load_clips=load_clips,
    split_sizes={"train": 22_160, "test": 20_371},
    training_counts=tuple(each.training_clips for each in audioset_lists.classes()),
    aliases=audioset_lists.class_numbers(),
    related_classes=related_classes,
    link=audioset_lists.link,
)
