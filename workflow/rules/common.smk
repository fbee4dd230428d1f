# The configuration, checked before any job starts, and the functions that the rules use.

import os
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.caching import LOCATION_ENVVAR

WORKFLOW = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(WORKFLOW))

from weakneg import datasets
from weakneg.audio.acquire.folder import audio_files
from weakneg.config import stages
from weakneg.config.load import load
from weakneg.io.files import check_writable
from weakneg.jobs import warm
from weakneg.report import figures
from weakneg.workspace import results, start, watch
from weakneg.workspace.fingerprint import keep
from weakneg.workspace.provenance import keep_with_results, record_code
from weakneg.workspace.results import (
    AUDIT_TABLES,
    BUDGET_TABLES,
    FORMATS,
    HIDDEN_TABLES,
    LOCALISATION_TABLES,
    PARTIAL_TABLES,
    SUSPECT_TABLES,
    TABLES,
    TRUTH_TABLES,
    code,
    code_of,
)
from weakneg.workspace.start import checked

CONFIG = checked(load, config)
checked(keep_with_results)
if workflow.is_main_process:
    checked(start.enter, CONFIG)

GPUS = workflow.is_main_process and workflow.global_resources.get("gpu").value
shell.prefix(start.prefix(CONFIG, WORKFLOW, GPUS))

# With `--cache`, Snakemake takes results from a folder that clones share. It identifies a result by
# its rule, parameters and inputs, not by wildcards, so wildcards that matter are parameters too.
SHARED = workflow.workflow_settings.cache is not None
if SHARED:
    location = os.environ.get(LOCATION_ENVVAR)
    checked(start.check_cache, location, LOCATION_ENVVAR, workflow.is_main_process)

REQUESTED = []  # names of the studies that this invocation builds


wildcard_constraints:
    split="train|test",
    shard=r"\d+",
    study="|".join(CONFIG.study_names),
    class_slug="[a-z0-9_]+",
    run="[a-z0-9_]+",


@cache
def results_of(study):
    return results.Results(checked(CONFIG.study, study))


def requested(study):
    """The results of a study that this invocation builds."""
    of_study = results_of(study)
    if study not in REQUESTED:
        REQUESTED.append(study)
        if workflow.is_main_process:
            start.say_cost(CONFIG, study)
            checked(start.ask_about_classes, of_study)
            if workflow.dryrun:
                start.warn_of_sources(of_study)
    return of_study.all


def of_results(name, *arguments):
    """A function of wildcards: a property or method of the study's `Results`, by name."""

    def answer(wildcards):
        found = getattr(results_of(wildcards.study), name)
        return found(*arguments) if arguments else found

    return answer


def of_study(name):
    """A function of wildcards: a property of the study."""
    return lambda wildcards: getattr(results_of(wildcards.study).study, name)


def published_lists(wildcards):
    """The files that list the recordings.

    Unless the audio is generated here, the rows of a shard are among its parameters, so that rows
    appended to a list do not rerun the earlier shards.
    """
    files = results_of(wildcards.study).data_files
    if results.is_made_here(results_of(wildcards.study).study.dataset.name):
        return files
    return [ancient(file) for file in files]


def noise_files(wildcards):
    """The recordings of noise that augmentation adds."""
    return checked(audio_files, Path(noise_folder(wildcards)))


def noise_folder(wildcards):
    return results_of(wildcards.study).study.augmentation.noise.folder


def manifest(split):
    """An input function: the bags of a split that a run reads."""
    return lambda wildcards: results_of(wildcards.study).manifest(split, wildcards.class_slug)


def corrections_of(wildcards):
    """The lists that correct labels of a class, of which only what they say matters."""
    of_study = results_of(wildcards.study)
    return [ancient(file) for file in of_study.corrections(wildcards.split, wildcards.class_slug)]


def class_name(wildcards):
    return checked(results_of(wildcards.study).study.class_of, wildcards.class_slug)


@cache
def settings(kind, study, *wildcards):
    return checked(kind.of, results_of(study).study, *wildcards)


def settings_of(kind, *names):
    """A function of wildcards: the settings that a stage reads, as JSON."""
    return lambda wildcards: settings(
        kind, wildcards.study, *(wildcards[name] for name in names)
    ).text()


def code_for(kind, *names):
    """A function of wildcards: the parameter `code` of the stage that reads such settings."""
    return lambda wildcards: checked(
        code_of, settings(kind, wildcards.study, *(wildcards[name] for name in names))
    )


def grows_from(amount):
    """A resource function: the amount times the number of the attempt."""
    return lambda wildcards, attempt: amount * attempt


def check_executor():
    """If jobs go to Slurm, check that it has what the profile names."""
    if workflow.executor_plugin.name == "slurm":
        jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
        checked(
            start.check_executor,
            [job.resources for job in jobs],
            [(workflow.dag.get_job_group(job) or job).resources for job in jobs],
            workflow.executor_settings,
        )
