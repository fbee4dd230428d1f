# The configuration, checked before any job starts, and what rules ask of it.

import json
import math
import os
import re
import shlex
import sys
from hashlib import sha256
from pathlib import Path

from snakemake.caching import LOCATION_ENVVAR

WORKFLOW = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(WORKFLOW))

from weakneg import datasets
from weakneg.audio.acquire.folder import find_folder
from weakneg.audio.status_table import digest_of_sound
from weakneg.config.load import load
from weakneg.config.source import SHARD_SIZE
from weakneg.config.stages import canonical, code_of_run
from weakneg.datasets import Dataset
from weakneg.datasets.local_copy import DATA_VARIABLE, check_named
from weakneg.errors import UserError
from weakneg.estimate.cost import cost_text
from weakneg.io.files import check_room, check_writable
from weakneg.jobs.slurm import check_cluster, missing_python, refusals
from weakneg.report.figures import OF_CLIPS, READING_RUNS
from weakneg.stages import entry
from weakneg.workspace import lock
from weakneg.workspace.fingerprint import fingerprint
from weakneg.workspace.provenance import keep_with_results, record_code


def checked(function, *arguments):
    """The function's result; a mistake in the configuration ends the workflow with its one line."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


CONFIG = checked(load, config)
checked(keep_with_results)
if workflow.is_main_process:
    # A node of a cluster need not see what only downloads ask for.
    checked(check_named, CONFIG.data)
    # Snakemake itself would end with a traceback.
    checked(check_room, ".snakemake")
    lock.enter()

# Where jobs find the library (in a conda environment or on another machine too), the data and the
# device. None of it changes what they compute, so it is no parameter of theirs: jobs do not run again.
ENVIRONMENT = {
    "PYTHONPATH": str(WORKFLOW),
    "WEAKNEG_LOCAL_COPIES": json.dumps(CONFIG.data),
    "WEAKNEG_DEVICE": CONFIG.device,
    # Of `--resources gpu=N`: the GPUs of this machine, of which each job takes one. On a cluster it
    # is the cluster that deals them out.
    "WEAKNEG_GPUS": str(
        (workflow.is_main_process and workflow.global_resources.get("gpu").value) or ""
    ),
}
shell.prefix(
    "".join(f"export {name}={shlex.quote(value)}; " for name, value in ENVIRONMENT.items())
    .replace("{", "{{")
    .replace("}", "}}")
)

# With `--cache`, Snakemake takes results from a folder that clones share. It knows a result by its
# rule, parameters and inputs, not by wildcards, so those that matter are among the parameters.
SHARED = workflow.workflow_settings.cache is not None

REQUESTED = []  # names of the studies that this invocation builds
FIGURES = [
    *("win_count", "critical_difference", "differences", "mean_ap", "class_size", "cost"),
    "learning_curves",
]
FORMATS = ["pdf", "png", "svg"]
TABLES = [
    *("table1.csv", "table1.md", "win_counts.csv", "win_counts.md", "cost.csv", "cost.md"),
    *("ranks.csv", "differences.csv", "class_size.csv"),
]

OF_SOUND = ["acquired.csv", "acquired.md", "sound.csv"]  # tables
AUDIT_TABLES = [
    *("selection_overlap.csv", "selection_turnover.csv", "most_selected.csv", "selection.md"),
]


wildcard_constraints:
    split="train|test",
    shard=r"\d+",
    study="|".join(CONFIG.study_names),
    label="[a-z0-9_]+",
    strategy="[a-z0-9_]+",


def check_cache(location):
    """Is there a folder for what is shared?"""
    if not location or not os.path.isdir(location):
        raise UserError(
            f"--cache: the environment variable {LOCATION_ENVVAR} must name a folder that exists,"
            f" not {location!r}."
        )
    if workflow.is_main_process and not os.access(location, os.W_OK):
        print(
            f"{location} can only be read: jobs whose results are not there will fail, run those"
            " without --cache.",
            file=sys.stderr,
        )


if SHARED:
    checked(check_cache, os.environ.get(LOCATION_ENVVAR))


def check_executor():
    """Where jobs go to Slurm: is it there, as the profile says? If not, end with one line."""
    if workflow.executor_plugin.name != "slurm":
        return
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    submitted = [(workflow.dag.get_job_group(job) or job).resources for job in jobs]
    jobs = [job.resources for job in jobs]
    with_gpu = [job for job in jobs if job.get("gpu") or "gpu" in job.get("gres", "")]
    checked(
        check_cluster,
        {job.get("slurm_partition") for job in jobs},
        {job.get("slurm_partition") for job in with_gpu},
        {job.get("slurm_account") for job in jobs},
        workflow.executor_settings.status_command,
    )
    for line in refusals(submitted):
        print(f"warning: {line}", file=sys.stderr)


def failure(logs):
    """What to say when a job has failed, given the logs of Snakemake."""
    for log in logs:
        if python := missing_python(Path(log)):
            return (
                f"error: a node of the cluster has no {python}: install the environment in a folder"
                " that the nodes share, and start Snakemake from it."
            )
    return "A job failed: its log is shown above, and named in the line 'log:'."


def grows_from(amount):
    """A resource function: the amount, twice that for the second attempt of a job, and so on."""
    return lambda wildcards, attempt: amount * attempt


def study_of(wildcards):
    return checked(CONFIG.study, wildcards.study)


def data_folder(wildcards):
    dataset = study_of(wildcards).dataset
    return dataset.folder or f"resources/{dataset.name}"


def audio_folder(wildcards):
    """Where downloads of sound go."""
    return f"resources/{study_of(wildcards).dataset.name}/audio"


def published_files(dataset):
    """The files that are fetched of a data set; none of a person's own."""
    data = datasets.load(dataset)
    return data.files if isinstance(data, Dataset) else ()


def is_made_here(dataset):
    data = datasets.load(dataset)
    return isinstance(data, Dataset) and data.made_here


def data_files(wildcards):
    """The published files that the study's data set is made of, or a person's own list."""
    dataset = study_of(wildcards).dataset
    if dataset.list:
        return [dataset.list]
    return [f"{data_folder(wildcards)}/{file}" for file in published_files(dataset.name)]


def published_lists(wildcards):
    """What says which sound there is. Of sound that is not made here, what the lists say of a shard
    is a parameter, so that a list that grows leaves the shards before its end alone."""
    files = data_files(wildcards)
    if is_made_here(study_of(wildcards).dataset.name):
        return files
    return [ancient(file) for file in files]


def features_files(wildcards):
    """What the feature stores are made of: the published files, or the shards of sound."""
    study = study_of(wildcards)
    if study.audio is None:
        return data_files(wildcards)
    return [f"results/{study.name}/audio/recordings.csv", *shards(study, "features/shards", "h5")]


def status_files(wildcards):
    """What became of the recordings of a study of sound, shard by shard."""
    return shards(study_of(wildcards), "audio", "csv")


def shards(study, folder, ending):
    """A file of each shard of a study of sound."""
    return [
        f"results/{study.name}/{folder}/{split}/{shard}.{ending}"
        for split, names in study.shards.items()
        for shard in names
    ]


def runs(wildcards):
    """(strategy, folder of its run) of a study, class by class."""
    study = study_of(wildcards)
    return [
        (strategy, f"results/{study.name}/runs/{label}/{run}")
        for label in study.class_slugs
        for strategy, run in study.runs.items()
    ]


def run_pairs(wildcards):
    return [f"{strategy}={folder}" for strategy, folder in runs(wildcards)]


def run_files(*names):
    """An input function: the named files of every run of the study."""
    return lambda wildcards: [
        f"{folder}/{name}"
        for folder in dict(map(reversed, runs(wildcards)))  # each once
        for name in names
    ]


def requested(study):
    """The results of a study that this invocation builds."""
    checked(CONFIG.study, study)
    if study not in REQUESTED:
        REQUESTED.append(study)
        if workflow.is_main_process:
            say_cost(study)
            if workflow.dryrun:
                warn_of_sources(study)
    return study_results(study)


def say_cost(study):
    """What a study of sound costs, if all of it is to be trained; of other studies, nothing."""
    try:
        cost = cost_text(CONFIG.study(study))
    except UserError:
        return
    print(f"{cost}. In hours: python -m weakneg estimate {CONFIG.said(study)}", file=sys.stderr)


def warn_of_sources(study):
    """A dry run ends before `check_sources` says it."""
    if folder := named_folder(CONFIG.study(study)):
        try:
            find_folder(Path(folder))
        except UserError as error:
            print(f"warning: {error}", file=sys.stderr)


def study_results(study):
    """What people read of a study."""
    of_clips = CONFIG.study(study).kind != "images"
    of_sound = CONFIG.study(study).audio is not None
    figures = [figure for figure in FIGURES if of_clips or figure not in OF_CLIPS]
    return [
        f"results/{study}/metrics.csv",
        *(f"results/{study}/tables/{table}" for table in TABLES),
        *([f"results/{study}/tables/classes.csv"] if of_clips else []),
        *(f"results/{study}/tables/{table}" for table in OF_SOUND if of_sound),
        *(f"results/{study}/figures/sound.{ext}" for ext in FORMATS if of_sound),
        *(f"results/{study}/figures/{figure}.{ext}" for figure in figures for ext in FORMATS),
        *audit_results(study),
    ]


def settings_of(stage):
    """A params function: the part of the study's configuration that the stage reads, as JSON."""

    def settings(wildcards):
        return canonical(getattr(study_of(wildcards), f"{stage}_settings")())

    return settings


def run_settings(wildcards):
    return canonical(checked(study_of(wildcards).run_settings, wildcards.strategy))


def dataset_name(wildcards):
    return study_of(wildcards).dataset.name


def classes_code(wildcards):
    return code_of("list_classes", f"datasets.{dataset_name(wildcards)}")


def class_name(wildcards):
    return checked(study_of(wildcards).class_of, wildcards.label)


def code_of(stage, *plugins):
    """The fingerprint of a stage's code, and what it is of: its function and the files it loads."""
    return [checked(fingerprint, entry(stage), plugins), stage, *plugins]


def is_downloaded(dataset):
    """Local copies may be linked to, and are no files to share; what is made here has no list."""
    has_copy = CONFIG.data.get(dataset) or os.environ.get(DATA_VARIABLE)
    return not has_copy and not is_made_here(dataset)


def fetch_code(dataset):
    """Of a data set that is made here. What was downloaded and checked stays, whatever the code."""
    if is_made_here(dataset):
        return code_of("fetch_dataset", f"datasets.{dataset}")
    return ["untracked"]


def manifest(split):
    """An input function: the bags of a split, of the class where they differ between classes."""

    def file(wildcards):
        of_class = f"{wildcards.label}/" if study_of(wildcards).kind == "images" else ""
        return f"results/{wildcards.study}/bags/{of_class}{split}.csv"

    return file


def features_code(wildcards):
    study = study_of(wildcards)
    if study.audio is not None:
        return code_of("build_features", "features.from_shards")
    return code_of("build_features", "features.from_files", f"datasets.{study.dataset.name}")


def listed(wildcards):
    """Changes when the recordings of a shard do: a list that grows leaves its first shards alone."""
    rows = checked(study_of(wildcards).listed, wildcards.split, wildcards.shard)
    return sha256(canonical(rows).encode()).hexdigest()[:16]


def sound_of_shard(wildcards, input):
    """What the cache knows a shard by: of two, the list may be the same and the sound another."""
    return [wildcards.split, wildcards.shard, digest_of_sound(input[0])] if SHARED else []


def acquire_code(wildcards):
    study = study_of(wildcards)
    return code_of(
        "acquire_shard",
        f"acquire.{study.source.type}",
        f"datasets.{study.dataset.name}",
    )


def sound_folder(wildcards):
    """Where the source `folder` finds the clips."""
    return named_folder(study_of(wildcards)) or data_folder(wildcards)


def named_folder(study):
    """The folder in which a person says that the sound of a study is, or None."""
    return getattr(study.source, "folder", None) or study.dataset.folder


def check_sources(jobs):
    """Are the folders there in which the studies say that their sound is?"""
    for study in {job.wildcards.study for job in jobs if job.rule.name == "acquire_shard"}:
        if folder := named_folder(CONFIG.study(study)):
            find_folder(Path(folder))


def acquire_minutes(wildcards, attempt):
    """How long a shard may take, as politely as its source is asked. Tries again count, too."""
    per_minute = getattr(study_of(wildcards).source, "clips_per_minute", None)
    return attempt * (60 + (math.ceil(SHARD_SIZE / per_minute) if per_minute else 0))


def n_downloads(wildcards):
    """How much a job counts against the limit of jobs that download."""
    return int(study_of(wildcards).downloads)


def list_code(wildcards):
    return code_of(
        "list_recordings",
        f"datasets.{study_of(wildcards).dataset.name}",
    )


def initial_weights(wildcards):
    """The weights that a run starts from, where they are not random."""
    model = study_of(wildcards).model
    return f"resources/imagenet/{model.name}.pth" if model.weights == "imagenet" else []


def train_code(wildcards):
    settings = checked(study_of(wildcards).run_settings, wildcards.strategy)
    return code_of(*code_of_run(settings))


def score_code(wildcards):
    return code_of("score_run", f"models.{study_of(wildcards).model.name}")


def audit_results(study):
    """What people read of a study's audit."""
    return [
        *(f"results/{study}/tables/{table}" for table in AUDIT_TABLES),
        *(f"results/{study}/figures/selection.{ext}" for ext in FORMATS),
    ]


def training_manifests(wildcards):
    """The training bags of each class, in the study's order; of clips, all classes have the same."""
    study = study_of(wildcards)
    folders = [f"bags/{slug}" for slug in study.class_slugs] if study.kind == "images" else ["bags"]
    return [f"results/{study.name}/{folder}/train.csv" for folder in folders]


def ontology_files(wildcards):
    """The files from which the data set knows which classes are related, if it does."""
    data = study_of(wildcards).dataset.definition
    known = isinstance(data, Dataset) and data.related_classes is not None
    return data_files(wildcards) if known else []


def audit_code(wildcards):
    return code_of("audit_selections", f"datasets.{study_of(wildcards).dataset.name}")


def results_summary():
    """What to look at first in the studies that were built, a file per line; "" with `--until`."""
    return "\n".join(
        f"  {file}"
        for study in REQUESTED
        for file in study_results(study)
        if file.endswith((".png", ".md")) and Path(file).exists()
    )
