"""Source: a mirror of the clips on the Hugging Face hub, in Parquet files or tar archives.

An index of which file holds which clip is made once for a repository and revision, and kept beside
the audio (`mirrors/*.json`). For Parquet files only the column of ids is read, by requests for
parts of a file; tar archives are downloaded. Then the files with clips of the shard are downloaded
to the cache of the hub's client, each once, whole and verified. Their clips are copied out as they
are, and checked only when they are decoded.

The index also keeps the commit, so that a branch that moves does not mix two states of the mirror;
with `retry_failed` the commit is looked up again.
"""

import hashlib
import importlib.util
import json
import sys
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from weakneg.audio.files import AUDIO_SUFFIXES, clip_name, is_audio
from weakneg.audio.outcome import DECODE_ERROR, MISSING, OK, Outcome, one_line
from weakneg.audio.recordings import Recording
from weakneg.config.source import ID, HuggingfaceSource
from weakneg.errors import UserError
from weakneg.io.files import NO_ROOM, replace_when_whole
from weakneg.io.progress import Progress
from weakneg.io.retry import doubling, retry

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

_Result = TypeVar("_Result")

_CHUNK_BYTES = 1 << 22

# The first bytes of audio files, and their suffixes.
_BEGINNINGS = [(b"fLaC", ".flac"), (b"RIFF", ".wav"), (b"OggS", ".ogg"), (b"ID3", ".mp3")]


def acquire(
    recordings: Sequence[Recording], settings: HuggingfaceSource, folder: Path
) -> Iterator[tuple[Recording, Outcome]]:
    """Copy clips out of the files of the mirror.

    Parameters
    ----------
    recordings : sequence of Recording
        The clips.
    settings : HuggingfaceSource
        The mirror.
    folder : Path
        Where the clips go; the index of the mirror goes to `mirrors` in it.

    Yields
    ------
    Recording, Outcome
        A clip and its outcome.

    Raises
    ------
    UserError
        When the mirror, its revision or its files are unavailable or do not match the settings.
    """
    mirror = _Mirror(settings, folder / "mirrors")
    of_file: dict[str, dict[str, Recording]] = defaultdict(dict)
    for recording in recordings:
        name = settings.name.replace(ID, recording.id)
        if name in mirror.file_of:
            of_file[mirror.file_of[name]][name] = recording
        else:
            yield recording, Outcome(MISSING, f"not in {mirror}")
    for number, (file, wanted) in enumerate(sorted(of_file.items()), start=1):
        print(f"{file} ({number} of {len(of_file)}): {len(wanted)} clips", file=sys.stderr)
        for name, path, content in mirror.clips(file, wanted):
            yield wanted[name], _keep(wanted[name], path, content, folder)
            del wanted[name]
        for recording in wanted.values():
            yield recording, Outcome(DECODE_ERROR, f"no sound in {file} of {mirror}")


def _keep(recording: Recording, path: str, content: bytes, folder: Path) -> Outcome:
    """Write an audio file. `path` is its name in the mirror, which may be empty."""
    of_name = PurePosixPath(path).suffix.lower()
    of_content = (suffix for beginning, suffix in _BEGINNINGS if content.startswith(beginning))
    suffix = next(of_content, of_name)
    if not content or suffix not in AUDIO_SUFFIXES:
        found = f"{len(content)} bytes that begin with {content[:8]!r}" if content else "0 bytes"
        return Outcome(DECODE_ERROR, one_line(f"no audio file in the mirror: {found}"))
    target = folder / f"{clip_name(recording)}{suffix}"
    with replace_when_whole(target) as temporary:
        temporary.write_bytes(content)
    return Outcome(OK, path=target)


class _Mirror:
    """The files of the mirror, at one commit. `file_of` maps a clip's name to its file."""

    def __init__(self, settings: HuggingfaceSource, folder: Path) -> None:
        if importlib.util.find_spec("huggingface_hub") is None:
            raise UserError(
                "huggingface_hub, which downloads the mirror, is not installed: run "
                "`make setup`, or use --software-deployment-method conda."
            )
        from filelock import FileLock
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        self._settings = settings
        key = hashlib.sha256(settings.identity.encode()).hexdigest()[:16]
        index = folder / f"{key}.json"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{key}.lock"):  # of shards that start together, one makes the index
            known = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else None
            if known is None or settings.retry_failed:
                known = self._make_index(known, index)
        self._commit, self._sha256 = known["commit"], known["sha256"]
        self.file_of: dict[str, str] = {}
        for file, names in known["clips"].items():
            for name in names:
                self.file_of.setdefault(name, file)

    def __str__(self) -> str:
        return f"{self._settings.repository}, revision {self._settings.revision}"

    def clips(self, file: str, wanted: Mapping[str, object]) -> Iterator[tuple[str, str, bytes]]:
        """Yield name, path in the mirror and content of the wanted clips of a file."""
        path = self._fetch(file)
        try:
            if file.endswith(".parquet"):
                yield from _clips_of_parquet(path, self._settings, wanted)
            else:
                yield from _clips_of_tar(path, wanted)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            # pyarrow's errors are ValueErrors and OSErrors
            raise UserError(
                f"{path}, {file} of {self}, cannot be read ({one_line(str(error))}): delete it, so "
                "that the next run downloads it again."
            ) from error

    # ---- the index
    def _make_index(self, known: dict[str, Any] | None, index: Path) -> dict[str, Any]:
        """Ask the hub which file holds which clip, unless `known` is up to date, and write it."""
        from huggingface_hub import HfApi, HfFileSystem

        settings = self._settings
        api = HfApi(endpoint=settings.endpoint)
        system = HfFileSystem(endpoint=settings.endpoint, skip_instance_cache=True)
        info = self._patiently(
            lambda: api.dataset_info(
                settings.repository,
                revision=settings.revision,
                files_metadata=True,
                timeout=settings.timeout,
            )
        )
        if known is not None and known["commit"] == info.sha:
            return known
        files = {
            file.rfilename: file.lfs.sha256 if file.lfs else None
            for file in info.siblings or ()
            if any(fnmatchcase(file.rfilename, pattern) for pattern in settings.pattern)
        }
        if not files:
            patterns = ", ".join(settings.pattern)
            some = ", ".join(sorted(file.rfilename for file in info.siblings or ())[:5]) or "none"
            raise UserError(
                f"source.pattern: no file of {self} matches {patterns}, its files are {some}, "
                "...: correct the pattern."
            )
        self._commit, self._sha256 = info.sha, files
        clips = {}
        with Progress(f"index of {self}", len(files), "files") as progress:
            for file in sorted(files):
                clips[file] = self._names(file, system)
                progress.add()
        known = {"mirror": str(self), "commit": info.sha, "sha256": files, "clips": clips}
        with replace_when_whole(index) as temporary:
            temporary.write_text(json.dumps(known), encoding="utf-8")
        return known

    def _names(self, file: str, system: "HfFileSystem") -> list[str]:
        """Names of the clips in a file."""
        if not file.endswith(".parquet"):
            path = self._fetch(file)
            try:
                with tarfile.open(path) as archive:
                    return [_name_of(member) for member in archive if _is_clip(member)]
            except (tarfile.TarError, EOFError, OSError) as error:
                raise UserError(
                    f"{file} of {self} is neither Parquet nor a tar archive "
                    f"({one_line(str(error))}): correct source.pattern."
                ) from error
        return self._patiently(lambda: self._ids(file, system))

    def _ids(self, file: str, system: "HfFileSystem") -> list[str]:
        """The column of ids of a Parquet file, without downloading the rest of it."""
        import pyarrow as pa
        from pyarrow import parquet

        settings = self._settings
        path = f"datasets/{settings.repository}@{self._commit}/{file}"
        try:
            with system.open(path, cache_type="none") as remote:
                names = parquet.ParquetFile(remote)
                for column in (settings.id_column, settings.audio_column):
                    if column not in names.schema_arrow.names:
                        raise UserError(
                            f"{file} of {self} has no column {column}, its columns are "
                            f"{', '.join(names.schema_arrow.names)}: correct source.id_column or "
                            "source.audio_column."
                        )
                column = names.read(columns=[settings.id_column]).column(0)
        except pa.ArrowInvalid as error:
            raise UserError(
                f"{file} of {self} is not a Parquet file ({one_line(str(error))}): correct "
                "source.pattern."
            ) from error
        return [str(name) for name in column.to_pylist()]

    # ---- downloads
    def _fetch(self, file: str) -> Path:
        """The file in the cache of the hub's client, downloaded and verified if it is missing."""
        from huggingface_hub import hf_hub_download, try_to_load_from_cache

        settings = self._settings
        repository, commit = settings.repository, self._commit
        cached = try_to_load_from_cache(repository, file, revision=commit, repo_type="dataset")
        if isinstance(cached, str):
            return Path(cached)

        def download() -> Path:
            path = Path(
                hf_hub_download(
                    repository,
                    file,
                    revision=commit,
                    repo_type="dataset",
                    endpoint=settings.endpoint,
                )
            )
            expected = self._sha256[file]
            if expected is not None and _sha256(path) != expected:
                path.resolve().unlink()
                path.unlink(missing_ok=True)
                raise ConnectionError(f"the checksum of {file} differs from the published one")
            return path

        return self._patiently(download)

    def _patiently(self, ask: Callable[[], _Result]) -> _Result:
        """Ask the hub, and retry after temporary errors. Raises UserError if all tries fail."""
        from huggingface_hub import errors
        from huggingface_hub.utils import get_session

        settings = self._settings

        def ask_in_time() -> _Result:
            get_session().timeout = settings.timeout  # the default is to wait for ever
            return ask()

        waits = doubling(settings.backoff_seconds, settings.retries)
        try:
            return retry(ask_in_time, waits, _passing, str(self))
        except errors.RepositoryNotFoundError as error:  # also for gated ones
            raise UserError(
                f"source.repository: the data set {settings.repository} does not exist or is not "
                "public: correct the name, or set HF_TOKEN to read it."
            ) from error
        except errors.RevisionNotFoundError as error:
            raise UserError(
                f"source.revision: {settings.repository} has no revision {settings.revision}: "
                "correct it."
            ) from error
        except UserError:
            raise
        # Errors of the client and of the libraries that it uses, which differ between its versions.
        except Exception as error:
            if getattr(error, "errno", None) in NO_ROOM:
                raise UserError(
                    f"the disk with Hugging Face's cache is full ({_reason(error)}): make room, or "
                    "set HF_HOME to a folder on another disk."
                ) from error
            raise UserError(
                f"{self} cannot be downloaded ({_reason(error)}): check the network and "
                "source.endpoint, then run again (finished downloads are kept)."
            ) from error


def _passing(error: Exception) -> str | None:
    """The reason of an error that another try may not meet, else None."""
    if isinstance(error, UserError) or getattr(error, "errno", None) in NO_ROOM:
        return None
    # An error that the hub reports has a response; an error of the connection has none.
    response = getattr(error, "response", None)
    if response is None or response.status_code >= 500 or response.status_code in (408, 429):
        return _reason(error)
    return None


def _reason(error: Exception) -> str:
    return one_line(str(error)) or type(error).__name__


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ----------------------------------------------------------------------------- inside the files
def _clips_of_parquet(
    path: Path, settings: HuggingfaceSource, wanted: Mapping[str, object]
) -> Iterator[tuple[str, str, bytes]]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, [settings.id_column]).column(0).to_pylist()
            rows: dict[str, int] = {}
            for row, name in enumerate(map(str, ids)):
                if name in wanted:
                    rows.setdefault(name, row)
            if not rows:
                continue
            column = file.read_row_group(group, [settings.audio_column]).column(0)
            for name, row in rows.items():
                audio = column[row].as_py()
                if isinstance(audio, Mapping):
                    yield name, audio.get("path") or "", audio.get("bytes") or b""
                else:
                    yield name, "", audio or b""


def _clips_of_tar(path: Path, wanted: Mapping[str, object]) -> Iterator[tuple[str, str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if _is_clip(member) and _name_of(member) in wanted:
                file = archive.extractfile(member)
                assert file is not None  # a clip is a file
                yield _name_of(member), member.name, file.read()


def _is_clip(member: tarfile.TarInfo) -> bool:
    return member.isfile() and is_audio(PurePosixPath(member.name))


def _name_of(member: tarfile.TarInfo) -> str:
    """The name of a clip in an archive: that of its file, without folder and suffix."""
    return PurePosixPath(member.name).stem
