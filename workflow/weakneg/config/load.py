"""The configuration, checked before any job starts: config.yaml, `--config`, and studies.

`load` reads what Snakemake hands over (config.yaml merged with `--config`), `Config.study` a study
of it. Every mistake is a `UserError` of one line that names the file, the key, the value and what
is allowed.
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from weakneg import datasets
from weakneg.config.classes import ClassChoice
from weakneg.config.files import SCHEMAS, STUDIES, _Loader, find_study, read_config, read_study
from weakneg.config.messages import no_such, problem, shown, user_error
from weakneg.config.study import Study
from weakneg.config.subset import subset
from weakneg.config.values import NAME, Names, Section, Seeds
from weakneg.errors import UserError
from weakneg.stages import command

_DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"


class Config(Section):
    """What config.yaml says, and `--config` on the command line."""

    studies: Names = Field(
        ["digits", "soundscapes"],
        description="Studies that a plain `snakemake` builds: names of workflow/studies, or paths "
        "of YAML files of your own, relative to the working directory.",
    )
    data: dict[str, str | None] = Field(
        {},
        description="Local copies of data sets, data set -> folder. Where there is none, or null, "
        "the folder that the environment variable WEAKNEG_DATA names is tried, then the download.",
    )
    device: str = Field(
        "auto",
        pattern=_DEVICE,
        description="Where models are trained: auto (a GPU if there is one), cpu, cuda or cuda:N.",
    )
    classes: ClassChoice | None = Field(
        None,
        description="Only these classes of each study, by name or number, or {top: n}, those with "
        "the most clips; null: all of it.",
    )
    strategies: Names | None = Field(
        None,
        description="Only these strategies of each study; null: all of it. The study's baseline is "
        "kept in any case, since the others are compared with it.",
    )
    seeds: Seeds | None = Field(
        None,
        description="A number of seeds or a list of them in place of each study's; null: its own.",
    )

    _folder: Path = PrivateAttr(STUDIES)
    _paths: dict[str, Path] = PrivateAttr(default_factory=dict)  # of the studies asked for
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)  # key -> who set it
    _loaded: dict[str, Study] = PrivateAttr(default_factory=dict)

    @field_validator("device", mode="before")
    @classmethod
    def _device(cls, device: object) -> object:
        if not isinstance(device, str) or not re.match(_DEVICE, device):
            raise problem(no_such(device, "a device", ["auto", "cpu", "cuda", "cuda:N"]))
        return device

    @field_validator("data")
    @classmethod
    def _known_datasets(cls, data: dict[str, str | None]) -> dict[str, str | None]:
        for name in data:
            if name not in datasets.names():
                raise problem(no_such(name, "a data set", datasets.names()), name)
        return data

    @property
    def study_names(self) -> list[str]:
        """Names of all studies, those of workflow/studies and those asked for by path."""
        known = {file.stem for file in self._folder.glob("*.yaml") if NAME.fullmatch(file.stem)}
        return sorted(known | set(self._paths))

    @property
    def default_studies(self) -> list[str]:
        """Names of the studies that a plain `snakemake` builds, in the order asked for."""
        return list(self._paths)

    def said(self, name: str) -> str:
        """The arguments of a command that mean this study, and what `--config` leaves of it."""
        path = self._paths.get(name, self._folder)
        words = [name if self._folder in (path, path.parent) else shown(path)]
        values = self.model_dump(mode="json", include={"classes", "strategies", "seeds"})
        for key, value in values.items():
            if value is not None and self._sources[key] == "--config":
                words += ["--config"] * (len(words) == 1) + [f"{key}={json.dumps(value)}"]
        return shlex.join(words)

    def study(self, name: str) -> Study:
        """The study of a name in `study_names`, with what the configuration leaves of it.

        Raises UserError when its file has a mistake, or lacks a class or strategy asked for.
        """
        if name not in self._loaded:
            study = read_study(self._paths.get(name, self._folder / f"{name}.yaml"), self._folder)
            try:
                self._loaded[name] = subset(study, self.classes, self.strategies, self.seeds)
            except ValueError as error:
                key = str(error).split(":", 1)[0]
                raise UserError(f"{self._sources[key]}: {error}") from None
        return self._loaded[name]


def load(
    config: Mapping[str, Any],
    config_file: str | Path = "config.yaml",
    studies_folder: str | Path = STUDIES,
) -> Config:
    """The configuration that Snakemake merged, checked.

    config : what Snakemake calls `config`
    config_file : the file it read, so that a mistake can be traced to it or to `--config`
    studies_folder : where studies have their names; its files are read only when they are asked for

    Raises UserError, also for a mistake in a study that `studies` asks for.
    """
    path = Path(config_file)
    in_file = read_config(path)

    def source(key: str) -> str:
        from_file = key in in_file and in_file[key] == config.get(key)
        return shown(path) if from_file else "--config"

    try:
        result = Config.model_validate(config)
    except ValidationError as error:
        raise user_error(error, lambda location: source(str(location[0]))) from None
    folder = Path(studies_folder)
    result._folder = folder
    result._sources.update({key: source(key) for key in Config.model_fields})
    for index, entry in enumerate(result.studies):
        where = f"{source('studies')}: studies[{index}]"
        file = find_study(entry, folder, Path(), where)
        if file.stem in result._paths:
            raise UserError(f"{where}: {entry!r}: the study {file.stem} is listed twice")
        built_in = folder / f"{file.stem}.yaml"
        if built_in.is_file() and not built_in.samefile(file):
            raise UserError(
                f"{where}: {entry!r} has the name of {shown(built_in)}; rename the file, since "
                "its results go by its name"
            )
        read_study(file, folder)
        result._paths[file.stem] = file
    return result


def load_study(study: str | Path, studies_folder: str | Path = STUDIES) -> Study:
    """The study of a name in `studies_folder` or of a path. Raises UserError."""
    folder = Path(studies_folder)
    return read_study(find_study(str(study), folder, Path(), "study"), folder)


@command
def schema() -> None:
    """Write the JSON schemas of the configuration into workflow/schemas."""
    for name, text in schemas().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")


def schemas() -> dict[str, str]:
    """The JSON schemas of the configuration, file name in workflow/schemas -> text."""
    study = Study.model_json_schema()
    study["required"] = ["title"]  # the rest may come from the study that it extends
    models = {"config.schema.json": Config.model_json_schema(), "study.schema.json": study}
    return {
        name: json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **model}, indent=2
        )
        + "\n"
        for name, model in models.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
