"""The files of a study, and what the rules of the workflow pass to its stages.

Paths are relative to the working directory, which is that of Snakemake.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from weakneg import datasets
from weakneg.audio.status_table import digest_of_sound
from weakneg.config.report import FigureSettings, PageSettings, ReportSettings
from weakneg.config.source import POLITENESS, SHARD_SIZE
from weakneg.config.stages import StageSettings, canonical
from weakneg.config.study import Study
from weakneg.datasets import Dataset, formats
from weakneg.datasets.listened import PUBLISHED
from weakneg.report import figures
from weakneg.stages import entry
from weakneg.workspace.fingerprint import fingerprint

TABLES = [
    *("table1.csv", "table1.md", "table1.tex", "win_counts.csv", "win_counts.md", "win_counts.tex"),
    *("cost.csv", "cost.md", "cost.tex", "ranks.csv", "differences.csv", "class_size.csv"),
]
AUDIT_TABLES = [
    *("selection_overlap.csv", "selection_turnover.csv", "most_selected.csv", "selection.md"),
]
HIDDEN_TABLES = ["hidden.csv", "hidden_epochs.csv", "hidden.md", "hidden.tex"]
BUDGET_TABLES = ["budget.csv", "budget.md", "budget.tex"]
PARTIAL_TABLES = ["partial.csv", "partial_epochs.csv", "partial.md"]
# Subject of a study that is a grid -> its tables, in place of comparisons of single runs.
_OF_GRIDS = {"hidden": HIDDEN_TABLES, "budget": BUDGET_TABLES, "partial": PARTIAL_TABLES}
CALIBRATION_TABLES = ["thresholds.csv", "reliability.csv"]
SUSPECT_TABLES = ["suspects.csv", "suspects.md"]
TRUTH_TABLES = ["truth.csv", "truth.md", "truth.tex"]
LOCALISATION_TABLES = {
    "play_pointing_game": ["pointing.csv", "pointing.md"],
    "measure_event_detection": ["events.csv", "events_by_class.csv", "events.md"],
}
"""Stage -> its tables, of models of many classes."""
FORMATS = ["pdf", "png", "svg"]
_CAPTIONS = Path(__file__).parents[2] / "report"

# Option of a figure -> its file; the folders of runs are another option.
FIGURE_INPUTS = {
    "metrics": "results/{study}/metrics.csv",
    "overlap": "results/{study}/tables/selection_overlap.csv",
    "turnover": "results/{study}/tables/selection_turnover.csv",
    "hidden": "results/{study}/tables/hidden.csv",
    "hidden_epochs": "results/{study}/tables/hidden_epochs.csv",
    "budget": "results/{study}/tables/budget.csv",
    "partial": "results/{study}/tables/partial.csv",
    "partial_epochs": "results/{study}/tables/partial_epochs.csv",
    "recordings": "results/{study}/audio/recordings.csv",
    "train_store": "results/{study}/features/train.h5",
    "test_store": "results/{study}/features/test.h5",
    "problems": "results/{study}/features/problems.csv",
    "truth": "results/{study}/tables/truth.csv",
    "reliability": "results/{study}/tables/reliability.csv",
}


def code(stage: str, plugins: Iterable[str] = ()) -> list[str]:
    """The parameter `code` of a rule.

    Parameters
    ----------
    stage : str
        Name of the stage.
    plugins : iterable of str
        Plugins that it loads, such as "strategies.badge".

    Returns
    -------
    list of str
        Fingerprint, stage and plugins.
    """
    names = list(plugins)
    return [fingerprint(entry(stage), names), stage, *names]


def code_of(settings: StageSettings) -> list[str]:
    """The parameter `code` of the rule whose stage reads the settings."""
    return code(settings.stage, settings.plugins)


def published_files(dataset: str) -> tuple[str, ...]:
    """The files that are fetched for a data set, relative to its folder."""
    data = datasets.load(dataset)
    return data.files if isinstance(data, Dataset) else ()


def is_made_here(dataset: str) -> bool:
    """Whether the files of a data set are generated here, not downloaded."""
    data = datasets.load(dataset)
    return isinstance(data, Dataset) and data.made_here


def figure_tables(figure: str) -> list[str]:
    """The table of a figure, as a pattern for {study}; empty if it has none."""
    return [f"results/{{study}}/tables/{figure}.csv"] if figures.has_table(figure) else []


def fetch_code(dataset: str) -> list[str]:
    """The parameter `code` of a fetch; constant for downloads, which do not depend on the code."""
    return (
        code("fetch_dataset", [f"datasets.{dataset}"]) if is_made_here(dataset) else ["untracked"]
    )


@dataclass(frozen=True)
class Results:
    """The files of a study.

    Attributes
    ----------
    study : Study
        The study.
    """

    study: Study

    @property
    def folder(self) -> str:
        """Folder of the results."""
        return f"results/{self.study.name}"

    @property
    def is_sound(self) -> bool:
        """Whether the study computes its features from audio."""
        return self.study.audio is not None

    @property
    def bags_are_clips(self) -> bool:
        """Whether each bag is a clip, so that one manifest serves all classes."""
        return self.study.kind != "images"

    # ------------------------------------------------------------------------- data
    @property
    def data_folder(self) -> str:
        """Folder of the data set's files."""
        return self.study.dataset.folder or f"resources/{self.study.dataset.name}"

    @property
    def audio_folder(self) -> str:
        """Folder for downloaded audio."""
        return f"resources/{self.study.dataset.name}/audio"

    @property
    def named_folder(self) -> str | None:
        """The folder of the audio that the configuration names, if any."""
        return getattr(self.study.source, "folder", None) or self.study.dataset.folder

    @property
    def sound_folder(self) -> str:
        """The folder in which the source `folder` finds the clips."""
        return self.named_folder or self.data_folder

    @property
    def data_files(self) -> list[str]:
        """The published files of the data set, or the user's own list or tables."""
        dataset = self.study.dataset
        if dataset.list:
            return formats.table_files(dataset.list, formats.suffixes(dataset.table.format))
        return [f"{self.data_folder}/{file}" for file in published_files(dataset.name)]

    @property
    def ontology_files(self) -> list[str]:
        """The files that define which classes are related, if the data set has them."""
        data = self.study.dataset.definition
        knows = isinstance(data, Dataset) and data.related_classes is not None
        return self.data_files if knows else []

    @property
    def feature_inputs(self) -> list[str]:
        """The input of the feature stores: published files, or shards of features."""
        if not self.is_sound:
            return self.data_files
        kind = "shards" if self.study.encoder is None else "embeddings"
        return [f"{self.folder}/audio/recordings.csv", *self.shards(f"features/{kind}", "h5")]

    @property
    def status_tables(self) -> list[str]:
        """The status tables of the recordings, one per shard."""
        return self.shards("audio", "csv")

    def shards(self, folder: str, ending: str) -> list[str]:
        """One file for each shard of an audio study."""
        return [
            f"{self.folder}/{folder}/{split}/{shard}.{ending}"
            for split, names in self.study.shards.items()
            for shard in names
        ]

    @property
    def politeness(self) -> str:
        """The settings that limit the requests to the source, as JSON."""
        assert self.study.source is not None
        return canonical(self.study.source.model_dump(include=set(POLITENESS)))

    def acquire_minutes(self, attempt: int) -> int:
        """Time limit for acquiring a shard, in minutes; longer if requests are slow or retried."""
        per_minute = getattr(self.study.source, "clips_per_minute", None)
        return attempt * (60 + (math.ceil(SHARD_SIZE / per_minute) if per_minute else 0))

    # ------------------------------------------------------------------------- bags and runs
    def manifest(self, split: str, class_slug: str) -> str:
        """The bags of a split; clips have one for all classes, but for those that are corrected."""
        of_class = f"{class_slug}/"
        if self.bags_are_clips:
            is_corrected = (self.study.class_of(class_slug), split) in self.study.corrected
            of_class = f"corrected/{of_class}" if is_corrected else ""
        return f"{self.folder}/bags/{of_class}{split}.csv"

    def manifests(self, split: str) -> list[str]:
        """The bags of each class, in the study's order; one file if it serves all classes."""
        found = [self.manifest(split, slug) for slug in self.study.class_slugs]
        one = self.bags_are_clips and len({*found}) == 1
        return found[:1] if one else found

    def corrections(self, split: str, class_slug: str) -> tuple[str, ...]:
        """The lists that correct labels of a class and a split."""
        return self.study.corrected[self.study.class_of(class_slug), split].files

    @property
    def initial_weights(self) -> list[str]:
        """The file of the weights from which runs start; none if they are random."""
        model = self.study.model
        return [f"resources/imagenet/{model.name}.pth"] if model.weights == "imagenet" else []

    @property
    def noise(self) -> list[str]:
        """The background noise that augmentation adds; none where it adds none."""
        augmentation = self.study.augmentation
        adds = augmentation is not None and augmentation.noise is not None
        return [f"{self.folder}/features/noise.h5"] if adds else []

    @cached_property
    def runs(self) -> list[tuple[str, str]]:
        """Strategy and folder of each run, class by class."""
        return [
            (strategy, f"{self.folder}/runs/{slug}/{run}")
            for slug, name in self.study.class_slugs.items()
            for strategy, run in self.study.runs_of(name).items()
        ]

    @property
    def run_pairs(self) -> list[str]:
        """`runs` as options on the command line."""
        return [f"{strategy}={folder}" for strategy, folder in self.runs]

    def run_files(self, names: Sequence[str]) -> list[str]:
        """The files `names` of every run, without duplicates."""
        folders = dict.fromkeys(folder for _, folder in self.runs)
        return [f"{folder}/{name}" for folder in folders for name in names]

    # ------------------------------------------------------------------------- report
    @cached_property
    def report(self) -> str:
        """The study as it is reported, as JSON."""
        return ReportSettings.of(self.study).text()

    @cached_property
    def figure_settings(self) -> str:
        """The study as figures read it, as JSON."""
        return FigureSettings.of(self.study).text()

    @cached_property
    def page_settings(self) -> str:
        """The study as its page reads it, as JSON."""
        return PageSettings.of(self.study).text()

    @property
    def captions(self) -> str:
        """The captions of the figures, as JSON."""
        return captions(self.study.name, self._figures)

    @property
    def truth_list(self) -> list[str]:
        """The list of what people heard in test clips, if the study has one."""
        truth = self.study.truth
        if truth is None:
            return []
        if truth.of_own_labels:
            return [f"{self.folder}/audio/recordings.csv"]
        return [f"resources/truth/{truth.list}.tsv" if truth.list in PUBLISHED else truth.list]

    @property
    def judged_classes(self) -> str:
        """How the classes that people listened for are judged, as JSON; {} without truth."""
        truth = self.study.truth
        judged = truth.of(self.study.classes) if truth else {}
        return canonical({name: each.model_dump() for name, each in judged.items()})

    @property
    def is_judged(self) -> bool:
        """Whether people listened for a class of the study, as it was restricted."""
        return self.study.truth is not None and bool(self.study.truth.of(self.study.classes))

    @property
    def _localises(self) -> dict[str, bool]:
        """Which of the stages of `LOCALISATION_TABLES` the study has.

        It must be known which instances of test bags hold a class.
        """
        study, truth = self.study, self.study.truth
        many = study.task == "multilabel"
        if truth is None:
            known, events = study.kind == "images", False
        else:
            timed = study.kind == "spectrograms" or truth.frame_seconds is not None
            known, events = timed and self.is_judged, truth.event_detection
        return {
            "play_pointing_game": many and known,
            "measure_event_detection": many and known and events,
        }

    @property
    def localisation_options(self) -> list[str]:
        """How it is known which frames of a clip hold a class; [] for images."""
        truth = self.study.truth
        if truth is None:
            return []
        source = "--recordings" if truth.of_own_labels else "--heard"
        options = [source, *self.truth_list, "--classes", self.judged_classes]
        if truth.frame_seconds is None:
            return options
        return [*options, "--frame-seconds", str(truth.frame_seconds)]

    @property
    def suspects_code(self) -> list[str]:
        """The parameter `code` of the rule list_suspects."""
        return code("list_suspects", [f"datasets.{self.study.dataset.name}"])

    @property
    def audit_code(self) -> list[str]:
        """The parameter `code` of the rule audit_selections."""
        return code("audit_selections", [f"datasets.{self.study.dataset.name}"])

    @property
    def tables(self) -> list[str]:
        """The tables."""
        own = _OF_GRIDS.get(self.study.subject)
        names = [*(own or TABLES + AUDIT_TABLES + CALIBRATION_TABLES)]
        names += ["classes.csv"] if self.bags_are_clips else []
        names += SUSPECT_TABLES if self.bags_are_clips and not own else []
        names += TRUTH_TABLES if self.is_judged and not own else []
        for stage, asked in self._localises.items():
            names += LOCALISATION_TABLES[stage] if asked else []
        names += ["acquired.csv", "acquired.md"] if self.is_sound else []
        names += [f"{figure}.csv" for figure in self._figures if figures.has_table(figure)]
        return [f"{self.folder}/tables/{name}" for name in names]

    @property
    def figures(self) -> list[str]:
        """The figures in all formats."""
        return [f"{self.folder}/figures/{name}.{ext}" for name in self._figures for ext in FORMATS]

    @property
    def _figures(self) -> list[str]:
        shown = figures.for_kind(self.study.subject)
        return [name for name in shown if self.is_judged or "truth" not in figures.inputs(name)]

    @property
    def csv_tables(self) -> list[str]:
        """The tables as CSV."""
        return [file for file in self.tables if file.endswith(".csv")]

    @property
    def svg_figures(self) -> list[str]:
        """The figures as SVG."""
        return [file for file in self.figures if file.endswith(".svg")]

    @property
    def sounds(self) -> list[str]:
        """The sound of the clips that the page lists, if the study computes features from audio."""
        listed = self.is_sound and self.study.subject not in _OF_GRIDS
        return [f"{self.folder}/audio/sounds.json"] if listed else []

    @property
    def page(self) -> str:
        """The page."""
        return f"{self.folder}/report.html"

    @property
    def all(self) -> list[str]:
        """The metrics, tables, figures and page."""
        return [f"{self.folder}/metrics.csv", *self.tables, *self.figures, self.page]

    @property
    def highlights(self) -> list[str]:
        """What to look at first, the page last, without what `--until` left out."""
        shown = (file for file in self.all if file.endswith((".png", ".md", ".html")))
        return [file for file in shown if Path(file).exists()]


def captions(study: str, names: Iterable[str]) -> str:
    """The captions of figures, as JSON: those of Snakemake's report, as plain text.

    Parameters
    ----------
    study : str
        Name of the study.
    names : iterable of str
        Names of the figures.
    """
    texts = {name: (_CAPTIONS / f"{name}.rst").read_text(encoding="utf-8") for name in names}
    word = "*{{ snakemake.wildcards.study }}*"
    return canonical({name: text.strip().replace(word, study) for name, text in texts.items()})


def sound_of_shard(split: str, shard: str, status: str) -> list[str]:
    """The key of a shard in a shared cache: equal lists may come with different audio."""
    return [split, shard, digest_of_sound(status)]
