"""The command line: `python -m weakneg <stage> ...`, one sub-command per stage of the workflow.

The rules of the workflow call it; so can a person, with the command that `snakemake -p` prints.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from weakneg.errors import UserError
from weakneg.io.files import NO_ROOM

# Every stage imports what it needs when it runs: importing torch takes seconds.


def fetch(args: argparse.Namespace) -> None:
    """Put the files of a data set into a folder, checked, from a local copy or by download."""
    from weakneg import datasets

    local_copies = json.loads(os.environ.get("WEAKNEG_LOCAL_COPIES", "{}"))
    dataset = datasets.load(args.dataset)
    assert isinstance(dataset, datasets.Dataset)
    assert dataset.fetch is not None
    dataset.fetch(args.folder, local_copies.get(args.dataset))


def features(args: argparse.Namespace) -> None:
    """Write the feature stores of a data set, one per split, and the list of its problems."""
    from weakneg.config.stages import FeaturesSettings

    settings = FeaturesSettings.model_validate_json(args.settings)
    outputs = (args.train_store, args.test_store, args.problems)
    if settings.audio is None:
        from weakneg.features.build import build_features

        dataset = settings.dataset
        build_features(dataset.name, args.folder, *outputs, dataset.list, dataset.test_split)
    else:
        from weakneg.audio.join import join_features

        recordings, *files = args.inputs
        shards = {
            split: [f for f in files if f.parent.name == split] for split in ("train", "test")
        }
        join_features(
            recordings, shards, settings.class_names, settings.audio.model_dump(), *outputs
        )


def recordings(args: argparse.Namespace) -> None:
    """Write the list of the recordings of a data set of sound."""
    from weakneg.audio.recordings import list_recordings
    from weakneg.config.stages import FeaturesSettings

    dataset = FeaturesSettings.model_validate_json(args.settings).dataset
    list_recordings(dataset.name, dataset.list, dataset.test_split, args.folder, args.output)


def acquire(args: argparse.Namespace) -> None:
    """Get the sound of a shard of recordings; writes what became of each of them."""
    from weakneg.audio.acquire import acquire_listed
    from weakneg.config.stages import FeaturesSettings

    dataset = FeaturesSettings.model_validate_json(args.settings).dataset
    acquire_listed(
        dataset.name,
        dataset.list,
        dataset.test_split,
        args.data_folder,
        args.split,
        args.shard,
        args.shard_size,
        args.source | args.politeness,
        args.folder,
        args.audio_folder,
        args.output,
    )


def acquired(args: argparse.Namespace) -> None:
    """Write how many recordings of each class could be had, and why the others could not."""
    from weakneg.report.acquired import write_acquired

    write_acquired(args.recordings, args.status, args.study, args.title, args.table, args.text)


def shard(args: argparse.Namespace) -> None:
    """Compute the spectrograms of a shard of recordings."""
    from weakneg.audio.shards import shard_features

    shard_features(args.status, args.settings, args.output, args.threads)


def bags(args: argparse.Namespace) -> None:
    """Draw the bags of a class and write the manifests of both splits."""
    from weakneg.bags.manifest import build_manifests
    from weakneg.config.stages import ManifestSettings

    build_manifests(
        args.train_store,
        args.test_store,
        args.class_name,
        ManifestSettings.model_validate_json(args.settings).model_dump(),
        args.train_manifest,
        args.test_manifest,
    )


def clips(args: argparse.Namespace) -> None:
    """Write the manifest of the clips of a split, which are bags as they are."""
    from weakneg.bags.manifest import list_clips

    list_clips(args.store, args.manifest)


def classes(args: argparse.Namespace) -> None:
    """Write the list of a study's classes, with the number of clips of each."""
    from weakneg.features.classes import list_classes

    list_classes(args.train_store, args.test_store, args.classes, args.dataset, args.output)


def imagenet(args: argparse.Namespace) -> None:
    """Get a model's weights for ImageNet, to start from."""
    from weakneg.models.pretrained import fetch_imagenet

    fetch_imagenet(args.model, args.output)


def train(args: argparse.Namespace) -> None:
    """Train the seeds of a (class, strategy) pair."""
    from weakneg.config.stages import RunSettings
    from weakneg.jobs.gpus import take_gpu
    from weakneg.jobs.scratch import staged
    from weakneg.training.run import train_run

    identity = {
        "study": args.study,
        "class": args.class_name,
        "strategy": args.strategy,
        "fingerprint": args.code[0],
    }
    settings = RunSettings.model_validate_json(args.settings)
    take_gpu(args.device)
    train_run(
        staged(args.store),
        args.manifest,
        args.run,
        settings,
        identity,
        args.device,
        args.threads,
        args.weights,
    )


def score(args: argparse.Namespace) -> None:
    """Score the test bags of a run."""
    from weakneg.config.stages import ScoreSettings
    from weakneg.jobs.gpus import take_gpu
    from weakneg.jobs.scratch import staged
    from weakneg.training.scoring import score_run

    settings = ScoreSettings.model_validate_json(args.settings)
    take_gpu(args.device)
    score_run(
        staged(args.store),
        args.manifest,
        args.model,
        args.class_name,
        args.output,
        settings,
        args.device,
        args.threads,
    )


def metrics(args: argparse.Namespace) -> None:
    """Compute the metrics of every run of a study."""
    from weakneg.analysis.metrics import collect_metrics

    collect_metrics(args.runs, args.output)


def tables(args: argparse.Namespace) -> None:
    """Write the tables of a study."""
    from weakneg.report.tables import write_tables

    write_tables(args.metrics, args.settings, args.folder)


def figure(args: argparse.Namespace) -> None:
    """Draw one figure of a study, in the format of every output's suffix."""
    from weakneg.report.figures import draw

    draw(args.name, args.metrics, args.runs, args.settings, args.outputs)


def audit(args: argparse.Namespace) -> None:
    """Write the audit of a study's selections: tables, and a text for people."""
    from weakneg.report.audit import write_audit

    write_audit(
        args.runs,
        args.manifests,
        args.settings,
        args.dataset,
        args.data_folder,
        args.output_folder,
    )


def audit_figure(args: argparse.Namespace) -> None:
    """Draw the figure of the audit, from its tables."""
    from weakneg.report.figures.selection import draw_selection

    draw_selection(args.overlap, args.turnover, args.settings, args.outputs)


def predict(args: argparse.Namespace) -> None:
    """Score recordings with trained models; writes a CSV file of a row for each clip and model."""
    from weakneg.inference.predict import predict

    predict(
        args.models,
        args.recordings,
        args.output,
        args.frames,
        args.seeds,
        args.device,
        args.threads,
    )


def export(args: argparse.Namespace) -> None:
    """Write trained models as one ONNX file, from waveforms to scores, checked to be the same."""
    from weakneg.inference.export import export

    export(args.models, args.recordings, args.output, args.seeds)


def sound_figure(args: argparse.Namespace) -> None:
    """Draw what a study of sound is made of, and write the table behind it."""
    from weakneg.report.figures.sound import draw_sound

    stores = {"train": args.train_store, "test": args.test_store}
    draw_sound(args.recordings, stores, args.problems, args.settings, args.table, args.outputs)


def schema(args: argparse.Namespace) -> None:
    """Write the JSON schemas of the configuration into workflow/schemas."""
    from weakneg.config.files import SCHEMAS
    from weakneg.config.load import schemas

    for name, text in schemas().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")


def estimate(args: argparse.Namespace) -> None:
    """Say what a study of sound costs, and how long that takes on a device like this one."""
    from snakemake.cli import parse_config

    from weakneg.config.files import read_config
    from weakneg.config.load import load
    from weakneg.config.stages import RunSettings
    from weakneg.estimate.cost import cost_text, study_cost

    try:
        settings = parse_config(args.config)
    except ValueError as error:
        raise UserError(f"--config: {error}") from error
    study = load(read_config() | settings | {"studies": [args.study]}).study(Path(args.study).stem)
    print(cost_text(study), flush=True)

    from weakneg.estimate.speed import measure_speed
    from weakneg.jobs.device import describe, prepare

    device = prepare(args.device, args.threads)
    run = RunSettings.model_validate(study.run_settings(study.baseline))
    run = run.model_copy(update={"strategy": "gradient_embedding", "options": {}})
    speed = measure_speed(run, study.shard_settings(), device)
    hours = study_cost(study).hours(*speed)
    print(
        f"{describe(device)}: {speed.trained:,.0f} clips/s trained, {speed.scored:,.0f} scored; "
        f"about {hours:,.1f} hours, on 8 such devices {hours / 8:,.1f}"
    )


def publish(args: argparse.Namespace) -> None:
    """Copy a finished study's metrics, tables and figures, with the record of their making."""
    from weakneg.workspace.publish import publish

    publish(args.results, args.target, args.command, args.wall_time)


def status(args: argparse.Namespace) -> None:
    """Say what is done in each study, what would run and why, and how long that takes."""
    from weakneg.workspace.status import status

    print(status(args.studies, args.config))


def diff(args: argparse.Namespace) -> int:
    """Say which metrics differ between two results; exits with 1 if any does, 2 for bad input."""
    from weakneg.analysis.difference import diff

    if text := diff(args.before, args.now, args.tolerance):
        print(text)
    return int(bool(text))


def redraw(args: argparse.Namespace) -> None:
    """Write tables and figures of a published study again, without its runs."""
    from weakneg.report.redraw import redraw

    redraw(args.published, args.target)


def settle(args: argparse.Namespace) -> None:
    """Give results that were copied here the times at which they were made."""
    from weakneg.workspace.provenance import restore_times

    print(f"{restore_times()} files have the times of their making.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m weakneg", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="stage")
    by_hand = {diff, estimate, export, predict, publish, redraw, schema, settle, status}

    def command(stage: Callable, **arguments: dict) -> argparse.ArgumentParser:
        sub = commands.add_parser(stage.__name__, help=stage.__doc__, description=stage.__doc__)
        for name, options in arguments.items():
            sub.add_argument(
                f"--{name.replace('_', '-')}", **({"required": "default" not in options} | options)
            )
        if stage not in by_hand:
            sub.add_argument(
                "--code",
                nargs="+",
                default=[""],
                metavar=("HASH", "CODE"),
                help="fingerprint of the stage's code, and the function and modules that it is of",
            )
        sub.set_defaults(stage=stage)
        return sub

    path, text, as_json = {"type": Path}, {}, {"type": json.loads}
    several = {"type": Path, "nargs": "+"}
    runs = {
        "type": _strategy_and_folder,
        "nargs": "*",
        "default": [],
        "metavar": "STRATEGY=FOLDER",
    }
    worker = {
        "device": {
            "default": os.environ.get("WEAKNEG_DEVICE", "auto"),
            "help": "auto, cpu, cuda or cuda:N; by default what WEAKNEG_DEVICE says, or auto",
        },
        "threads": {"type": _at_least_one, "help": "CPU threads"},
    }
    command(fetch, dataset=text, folder=path)
    command(recordings, settings=text, folder=path, output=path)
    command(
        acquire,
        settings=text,
        data_folder=path,
        split=text,
        shard={"type": int},
        shard_size={"type": int},
        source=as_json,
        politeness=as_json | {"default": {}, "help": "settings of the source that change no sound"},
        folder=path,
        audio_folder=path,
        output=path,
    )
    command(
        acquired,
        recordings=path,
        status=several,
        study=text,
        title=text,
        table=path,
        text=path,
    )
    command(shard, status=path, settings=as_json, output=path, threads=worker["threads"])
    command(
        features,
        settings=text,
        folder=path,
        inputs=several | {"nargs": "*", "default": []},
        train_store=path,
        test_store=path,
        problems=path,
    )
    command(
        bags,
        train_store=path,
        test_store=path,
        class_name=text,
        settings=text,
        train_manifest=path,
        test_manifest=path,
    )
    command(clips, store=path, manifest=path)
    command(
        classes,
        train_store=path,
        test_store=path,
        classes=as_json,
        dataset=text,
        output=path,
    )
    command(imagenet, model=text, output=path)
    command(
        train,
        store=path,
        manifest=path,
        weights=path | {"nargs": "?", "default": None, "help": "of the encoder, to start from"},
        run=path,
        study=text,
        class_name=text,
        strategy=text,
        settings=text,
        **worker,
    )
    command(
        score,
        store=path,
        manifest=path,
        model=path,
        class_name=text,
        output=path,
        settings=text,
        **worker,
    )
    command(metrics, runs=runs, output=path)
    command(tables, metrics=path, settings=as_json, folder=path)
    command(figure, name=text, metrics=path, runs=runs, settings=as_json, outputs=several)
    command(
        audit,
        runs=runs,
        manifests=several,
        settings=as_json,
        dataset=text,
        data_folder=path,
        output_folder=path,
    )
    command(audit_figure, overlap=path, turnover=path, settings=as_json, outputs=several)
    of_models = {
        "models": several | {"help": "folders of runs, or their model.pt"},
        "output": path,
        "seeds": {
            "type": int,
            "nargs": "+",
            "default": None,
            "help": "the score is the mean over these; by default over all seeds of a run",
        },
    }
    predicting = command(
        predict,
        **of_models,
        frames=path | {"default": None, "help": "another CSV file, for the scores of frames"},
        device=worker["device"],
        threads=worker["threads"]
        | {"default": os.cpu_count(), "help": "CPU threads; by default all"},
    )
    predicting.add_argument(
        "recordings", type=Path, nargs="+", help="audio files, or folders of them"
    )
    exporting = command(export, **of_models)
    exporting.add_argument(
        "recordings", type=Path, nargs="*", help="audio files, or folders, for the check"
    )
    command(
        sound_figure,
        recordings=path,
        train_store=path,
        test_store=path,
        problems=path,
        settings=as_json,
        table=path,
        outputs=several,
    )
    config = {"nargs": "+", "default": [], "metavar": "KEY=VALUE", "help": "as of snakemake"}
    estimating = command(
        estimate,
        config=config,
        device=worker["device"],
        threads=worker["threads"] | {"default": 1},
    )
    estimating.add_argument("study", help="a file of workflow/studies, or the path of one")
    command(schema)
    asking = command(status, config=config)
    asking.add_argument("studies", nargs="*", metavar="study", help="those of config.yaml if none")
    comparing = command(
        diff,
        tolerance={"type": float, "default": 0.0, "help": "metrics no further apart are the same"},
    )
    comparing.set_defaults(trouble=2)
    for name in ("before", "now"):
        comparing.add_argument(name, type=Path, help="a folder of results, or a metrics.csv")
    command(settle)
    command(
        redraw,
        published=path | {"help": "a folder that holds metrics.csv and provenance.json"},
        target=path | {"help": "folder that gets tables/ and figures/"},
    )
    command(
        publish,
        results=path | {"help": "folder of the finished study, results/<study>"},
        target=path | {"help": "folder for the copy and its provenance.json"},
        command=text | {"help": "the command that made the results"},
        wall_time=text | {"help": "how long it took, in words"},
    )
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def _strategy_and_folder(text: str) -> tuple[str, str]:
    strategy, separator, folder = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must be STRATEGY=FOLDER, not {text!r}")
    return strategy, folder


def _check_code(fingerprint: str, *code: str) -> None:
    """Refuse to run other code than that for which the workflow will record the result."""
    from weakneg.workspace.fingerprint import fingerprint as current

    if code and current(code[0], code[1:]) != fingerprint:
        raise UserError(
            f"the code of {code[0]} was changed after the workflow started: start it again."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; returns the exit status. Bad input is one line on the error stream."""
    args = _parser().parse_args(arguments)
    try:
        _check_code(*getattr(args, "code", [""]))
        return args.stage(args) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(args, "trouble", 1)
    except BrokenPipeError:  # who reads what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        print(f"error: {reason}: make room and run again.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
