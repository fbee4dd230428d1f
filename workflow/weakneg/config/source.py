"""Settings of the sources of sound: the key `source` of a study.

This module imports nothing heavy, since every start of the workflow checks the configuration.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from weakneg.config.messages import no_such, problem, said
from weakneg.errors import UserError

SHARD_SIZE = 500  # recordings; a shard is one job: seconds, or hours where it downloads


def checked_source(value: object) -> object:
    """Validator: the key `source` of a study becomes the settings of a source."""
    if value is None or isinstance(value, tuple(SOURCES.values())):
        return value
    if not isinstance(value, Mapping):
        raise problem(f"must be a mapping of keys to values, not {value!r}")
    if "type" not in value:
        raise problem("is missing", "type")
    kind = value["type"]
    if not isinstance(kind, str) or kind not in SOURCES:
        raise problem(no_such(kind, "a source", SOURCES), "type")
    for key in value:
        if key not in SOURCES[kind].model_fields:
            fields = SOURCES[kind].model_fields
            raise problem(no_such(key, f"a key of the source {kind}", fields), key)
    try:
        return SOURCES[kind].model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise problem(said(first), *first["loc"]) from None


ID = "{id}"
_WITH_ID = r"\{id\}"


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class FolderSource(_Source):
    """Sound files that the user has."""

    type: Literal["folder"] = Field(
        "folder", description="Files in a folder; nothing is downloaded."
    )
    folder: str | None = Field(
        None,
        min_length=1,
        description="Folder of the clips, or a parent of it, if the data set does not include "
        "them. It is looked for in the working directory, then in the folder in WEAKNEG_DATA.",
    )
    name: str = Field(
        ID,
        pattern=_WITH_ID,
        description="File name of a clip without its extension, where the list names no file; {id} "
        "stands for the clip's id. For copies of AudioSet from PANNs it is 'Y{id}'.",
    )


class DownloadSource(_Source):
    """Settings of all downloads.

    The settings in `POLITENESS` change how a source is asked, not what is asked of it: when they
    change, downloaded clips stay valid and nothing runs again.
    """

    retries: int = Field(
        3,
        ge=0,
        description="Retries after a temporary error: a timeout, a dropped connection, too many "
        "requests or a server error.",
    )
    backoff_seconds: float = Field(
        10.0,
        gt=0,
        description="Wait before the first retry. It doubles each time, and is multiplied by a "
        "random factor from 0.5 to 1.5, so that clips do not retry in step.",
    )
    retry_failed: bool = Field(
        False,
        description="true: retry the clips that an earlier run did not get, when the shards run "
        "again: snakemake <study> --until acquire_shard --forcerun acquire_shard. Otherwise a clip "
        "that was unavailable stays unavailable.",
    )


class YoutubeSource(DownloadSource):
    """The original videos, by yt-dlp and ffmpeg: only the seconds of a clip are downloaded."""

    type: Literal["youtube"] = Field(
        "youtube", description="Videos on YouTube, or on another site that yt-dlp supports."
    )
    url: str = Field(
        "https://www.youtube.com/watch?v={id}",
        pattern=rf"^https?://[^/{{]+/.*{_WITH_ID}",
        description="Address of a clip's video; {id} stands for the clip's id.",
    )
    clips_per_minute: float = Field(
        5.0,
        gt=0,
        description="Download attempts that a shard starts per minute. 5 is what YouTube allows "
        "in total without signing in (300 videos per hour). Shards download one at a time unless "
        "profiles/default or --resources downloads=n allow more; each has this rate.",
    )
    concurrency: int = Field(2, ge=1, description="Clips that a shard downloads at a time.")
    timeout: float = Field(
        180.0, gt=0, description="Seconds after which an attempt to download a clip is given up."
    )
    cookies: str | None = Field(
        None,
        description="File of cookies in the Netscape format, as browsers export them, for videos "
        "that require signing in; it is read and never written.",
    )

    @property
    def identity(self) -> str:
        """Identity of the source, for which unavailable clips are remembered."""
        return f"youtube {self.url}"


class HuggingfaceSource(DownloadSource):
    """A mirror of the clips on the Hugging Face hub, in files of many clips."""

    type: Literal["huggingface"] = Field(
        "huggingface",
        description="A mirror on the Hugging Face hub that holds Parquet files, or tar archives of "
        "audio files (WebDataset). Its files are kept in the cache of the hub's client (HF_HOME); "
        "a repository that is not public needs HF_TOKEN.",
    )
    repository: str = Field(
        "agkphysics/AudioSet",
        pattern=r"^[\w.-]+/[\w.-]+$",
        description="Data set repository of the mirror, owner/name.",
    )
    revision: str = Field(
        "main", min_length=1, description="Branch, tag or commit of the repository."
    )
    pattern: list[str] = Field(
        ["data/bal_train/*.parquet", "data/eval/*.parquet"],
        min_length=1,
        description="Files in the repository that hold the clips; * stands for any characters.",
    )
    endpoint: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Address of the hub; null: the value of the environment variable HF_ENDPOINT, "
        "or huggingface.co.",
    )
    name: str = Field(
        ID,
        pattern=_WITH_ID,
        description="Name of a clip in the mirror, in tar archives without the extension; {id} "
        "stands for the clip's id.",
    )
    timeout: float = Field(
        60.0, gt=0, description="Seconds without a response from the hub until the next attempt."
    )
    id_column: str = Field("video_id", description="Column of Parquet files with the name.")
    audio_column: str = Field(
        "audio",
        description="Column of Parquet files with the audio file: its bytes, or a structure whose "
        "field `bytes` holds them.",
    )

    @property
    def identity(self) -> str:
        """Identity of the source, for which unavailable clips are remembered."""
        place = self.model_dump(
            include={"repository", "revision", "pattern", "endpoint", "name", "id_column"}
        )
        return f"huggingface {place}"


SOURCES = {
    name: model
    for model in (FolderSource, YoutubeSource, HuggingfaceSource)
    for name in get_args(model.model_fields["type"].annotation)
}
"""The settings by value of `type`."""

POLITENESS = frozenset(DownloadSource.model_fields) | {
    *("clips_per_minute", "concurrency", "timeout", "cookies")
}

Source = Annotated[FolderSource | YoutubeSource | HuggingfaceSource, Field(discriminator="type")]


def parse(source: Mapping[str, Any]) -> FolderSource | YoutubeSource | HuggingfaceSource:
    """Read the settings of a source.

    Parameters
    ----------
    source : mapping
        The settings with their `type`.

    Returns
    -------
    FolderSource, YoutubeSource or HuggingfaceSource
        The checked settings.

    Raises
    ------
    UserError
        Naming the key, when a setting is wrong.
    """
    try:
        return TypeAdapter(Source).validate_python(source)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["source", *map(str, first["loc"][1:])])
        raise UserError(f"{key}: {first['msg']}, not {first['input']!r}.") from error
