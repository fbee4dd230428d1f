"""The configuration, checked before any job starts: config.yaml, `--config` and studies.

`load` checks the configuration that Snakemake merges from config.yaml and `--config`, and
`Config.study` reads one of its studies. Every mistake is a `UserError` of one line that names the
file, the key, the value and the allowed values.
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
    """The settings of config.yaml, and of `--config` on the command line."""

    studies: Names = Field(
        ["digits", "digits_hidden_small", "soundscapes"],
        description="Studies that a plain `snakemake` builds: names of files in workflow/studies, "
        "or paths of your own YAML files, relative to the working directory.",
    )
    data: dict[str, str | None] = Field(
        {},
        description="Local copies of data sets, data set -> folder. For a data set without one, or "
        "with null, the folder in the environment variable WEAKNEG_DATA is tried, then the "
        "download.",
    )
    device: str = Field(
        "auto",
        pattern=_DEVICE,
        description="Where models are trained: auto (a GPU if there is one), cpu, cuda or cuda:N.",
    )
    classes: ClassChoice | None = Field(
        None,
        description="Only these classes of each study, by name or number, or {top: n}, those with "
        "the most clips; null: all of them.",
    )
    strategies: Names | None = Field(
        None,
        description="Only these strategies of each study; null: all of them. The study's baseline "
        "is always kept, since the others are compared with it.",
    )
    seeds: Seeds | None = Field(
        None,
        description="A number of seeds or a list of them, instead of those of each study; null: "
        "those of the study.",
    )

    _folder: Path = PrivateAttr(STUDIES)
    _paths: dict[str, Path] = PrivateAttr(default_factory=dict)  # of the studies in `studies`
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)  # key -> where it is set
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
        """Names of all studies, those in workflow/studies and those given by path."""
        known = {file.stem for file in self._folder.glob("*.yaml") if NAME.fullmatch(file.stem)}
        return sorted(known | set(self._paths))

    @property
    def default_studies(self) -> list[str]:
        """Names of the studies that a plain `snakemake` builds, in the order of `studies`."""
        return list(self._paths)

    def said(self, name: str) -> str:
        """The command line arguments that select this study, as `--config` restricts it."""
        path = self._paths.get(name, self._folder)
        words = [name if self._folder in (path, path.parent) else shown(path)]
        values = self.model_dump(mode="json", include={"classes", "strategies", "seeds"})
        for key, value in values.items():
            if value is not None and self._sources[key] == "--config":
                words += ["--config"] * (len(words) == 1) + [f"{key}={json.dumps(value)}"]
        return shlex.join(words)

    def command(self, name: str) -> str:
        """The command that makes this study, as `--config` restricts it."""
        target, *restricted = shlex.split(self.said(name))
        if target != name:  # a file of the user's own
            target, restricted = "--config", [f"studies={target}", *restricted[1:]]
        return shlex.join(["snakemake", "--cores", "all", target, *restricted])

    def study(self, name: str) -> Study:
        """Read a study, restricted to the configured classes, strategies and seeds.

        Parameters
        ----------
        name : str
            A name in `study_names`.

        Returns
        -------
        Study
            The study.

        Raises
        ------
        UserError
            When its file has a mistake, or a configured class or strategy is not in the study.
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
    """Check the configuration that Snakemake merged.

    Parameters
    ----------
    config : mapping
        The `config` of Snakemake.
    config_file : path
        The file that Snakemake read, so that a mistake can be traced to it or to `--config`.
    studies_folder : path
        Where studies are found by name.

    Returns
    -------
    Config
        The configuration.

    Raises
    ------
    UserError
        When the configuration, or a study in `studies`, has a mistake.
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
                f"{where}: {entry!r} has the same name as {shown(built_in)}: rename the file, "
                "since results are stored under this name"
            )
        read_study(file, folder)
        result._paths[file.stem] = file
    return result


def load_study(study: str | Path, studies_folder: str | Path = STUDIES) -> Study:
    """Read a study.

    Parameters
    ----------
    study : str or path
        Name of a study in `studies_folder`, or the path of a file.
    studies_folder : path
        Where studies are found by name.

    Returns
    -------
    Study
        The study.

    Raises
    ------
    UserError
        When there is no such study, or it has a mistake.
    """
    folder = Path(studies_folder)
    return read_study(find_study(str(study), folder, Path(), "study"), folder)


@command
def schema() -> None:
    """Write what follows from the models of the configuration: JSON schemas, and their page."""
    from weakneg.config.reference import PAGE, reference

    written = schemas()
    for name, text in written.items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")
    PAGE.write_text(reference(*map(json.loads, written.values())), encoding="utf-8")


def schemas() -> dict[str, str]:
    """The JSON schemas of the configuration: text by name of the file in workflow/schemas."""
    study = Study.model_json_schema()
    study["required"] = ["title"]  # other keys may be inherited
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
