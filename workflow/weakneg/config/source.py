"""Settings of the sources of sound: the key `source` of a study.

Nothing heavy is imported here, since every start of the workflow checks the configuration.
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

SHARD_SIZE = 500  # recordings; a shard is one job, of seconds, or of hours where it downloads


def checked_source(value: object) -> object:
    """The source of sound that a study names, checked."""
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
    """Sound that is there: files in the folder of the data."""

    type: Literal["folder"] = Field("folder", description="Files; nothing is downloaded.")
    folder: str | None = Field(
        None,
        min_length=1,
        description="Folder of the clips, or one around it, where the data set does not bring "
        "them; looked for in the working directory, then in the folder that WEAKNEG_DATA names.",
    )
    name: str = Field(
        ID,
        pattern=_WITH_ID,
        description="What the file of a clip is called, without its ending, where the list names "
        "no file: {id} stands for the clip's id. 'Y{id}' for copies of AudioSet as PANNs has them.",
    )


class DownloadSource(_Source):
    """What all downloads have in common.

    Settings of `POLITENESS` say how a source is asked, and not what for: when they change, what is
    there stays, and nothing is done again.
    """

    retries: int = Field(
        3,
        ge=0,
        description="Further tries after an error that may pass: a timeout, a dropped connection, "
        "too many requests, an error of the server.",
    )
    backoff_seconds: float = Field(
        10.0,
        gt=0,
        description="Wait before the first further try; it doubles each time, and is drawn from "
        "half of that to one and a half times that, so that clips do not try again in step.",
    )
    retry_failed: bool = Field(
        False,
        description="true: try again what an earlier run did not get, where the shards are run "
        "again: snakemake <study> --until acquire_shard --forcerun acquire_shard. Otherwise a clip "
        "that could not be had stays so.",
    )


class YoutubeSource(DownloadSource):
    """The videos themselves, with yt-dlp and ffmpeg: only the wanted seconds are downloaded."""

    type: Literal["youtube"] = Field(
        "youtube", description="The videos on YouTube, or another site that yt-dlp knows."
    )
    url: str = Field(
        "https://www.youtube.com/watch?v={id}",
        pattern=rf"^https?://[^/{{]+/.*{_WITH_ID}",
        description="Address of a clip's video; {id} stands for the clip's id.",
    )
    clips_per_minute: float = Field(
        5.0,
        gt=0,
        description="Tries that a shard begins per minute. 5 is what YouTube allows a visitor who "
        "is not signed in (300 videos per hour), in all. Shards that download run one at a time, "
        "unless profiles/default or --resources downloads=n allow more: each has this rate.",
    )
    concurrency: int = Field(2, ge=1, description="Clips that a shard downloads at a time.")
    timeout: float = Field(
        180.0, gt=0, description="Seconds after which a try to download a clip is given up."
    )
    cookies: str | None = Field(
        None,
        description="File of cookies in the format of Netscape, as browsers export them, for "
        "videos that need a signed-in visitor; it is read and never written.",
    )

    @property
    def identity(self) -> str:
        """What a clip that could not be had could not be had from."""
        return f"youtube {self.url}"


class HuggingfaceSource(DownloadSource):
    """A mirror of the clips on the Hugging Face hub, in files of many clips."""

    type: Literal["huggingface"] = Field(
        "huggingface",
        description="A mirror on the Hugging Face hub, of Parquet files or tar archives of audio "
        "files (WebDataset). Its files are kept in the cache of the hub's client (HF_HOME); a "
        "repository that is not public needs HF_TOKEN.",
    )
    repository: str = Field(
        "agkphysics/AudioSet",
        pattern=r"^[\w.-]+/[\w.-]+$",
        description="Data set repository of the mirror, owner/name.",
    )
    revision: str = Field("main", min_length=1, description="Its branch, tag or commit.")
    pattern: list[str] = Field(
        ["data/bal_train/*.parquet", "data/eval/*.parquet"],
        min_length=1,
        description="Which of its files hold the clips; * stands for any characters.",
    )
    endpoint: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Address of the hub; null: what the environment variable HF_ENDPOINT says, or "
        "huggingface.co.",
    )
    name: str = Field(
        ID,
        pattern=_WITH_ID,
        description="What the mirror calls a clip, in tar archives without the ending; {id} stands "
        "for the clip's id.",
    )
    timeout: float = Field(
        60.0, gt=0, description="Seconds without a word of the hub after which it is asked again."
    )
    id_column: str = Field("video_id", description="Column of Parquet files with that name.")
    audio_column: str = Field(
        "audio",
        description="Column with the audio file: its bytes, or a structure whose field `bytes` "
        "holds them.",
    )

    @property
    def identity(self) -> str:
        """What a clip that could not be had could not be had from."""
        place = self.model_dump(
            include={"repository", "revision", "pattern", "endpoint", "name", "id_column"}
        )
        return f"huggingface {place}"


SOURCES = {
    name: model
    for model in (FolderSource, YoutubeSource, HuggingfaceSource)
    for name in get_args(model.model_fields["type"].annotation)
}
"""Value of `type` -> model."""

POLITENESS = frozenset(DownloadSource.model_fields) | {
    *("clips_per_minute", "concurrency", "timeout", "cookies")
}

Source = Annotated[FolderSource | YoutubeSource | HuggingfaceSource, Field(discriminator="type")]


def parse(source: Mapping[str, Any]) -> FolderSource | YoutubeSource | HuggingfaceSource:
    """The settings that `source` holds. Raises UserError, naming the key, when it is wrong."""
    try:
        return TypeAdapter(Source).validate_python(source)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["source", *map(str, first["loc"][1:])])
        raise UserError(f"{key}: {first['msg']}, not {first['input']!r}.") from error
