"""The cost of a study: `python -m weakneg estimate`."""

from pathlib import Path

from weakneg.errors import UserError
from weakneg.jobs.gpus import Device
from weakneg.stages import Threads, command


@command
def estimate(
    study: str,
    /,
    config: list[str] | None = None,
    device: Device = "",
    threads: Threads = 1,
) -> None:
    """Estimate the cost of an audio study, and the time it takes on this device.

    Parameters
    ----------
    study : str
        A file of workflow/studies, or the path of one.
    config : list of str
        KEY=VALUE, as for snakemake.
    device : str
        auto, cpu, cuda or cuda:N; by default the value of WEAKNEG_DEVICE, or auto.
    threads : int
        CPU threads.

    Raises
    ------
    UserError
        When the configuration has a mistake, or the sizes of the study's classes are unknown.
    """
    from snakemake.cli import parse_config

    from weakneg.config.files import read_config
    from weakneg.config.load import load
    from weakneg.config.stages import RunSettings, ShardSettings
    from weakneg.estimate.cost import cost_text, study_cost

    try:
        settings = parse_config(config or [])
    except ValueError as error:
        raise UserError(f"--config: {error}") from error
    loaded = load(read_config() | settings | {"studies": [study]}).study(Path(study).stem)
    print(cost_text(loaded), flush=True)
    if loaded.encoder is not None:
        return  # speeds are measured with spectrograms; models of embeddings take little time

    # Imported here because loading PyTorch takes seconds.
    from weakneg.estimate.speed import measure_speed
    from weakneg.jobs.device import describe, prepare

    on_device = prepare(device, threads)
    run = RunSettings.of(loaded, loaded.runs[loaded.baseline])
    # One class: others only add outputs, and random clips have no labels of them.
    run = run.model_copy(update={"strategy": "gradient_embedding", "options": {}, "classes": None})
    speed = measure_speed(run, ShardSettings.of(loaded).model_dump(), on_device)
    hours = study_cost(loaded).hours(*speed)
    print(
        f"{describe(on_device)}: {speed.trained:,.0f} clips/s trained, {speed.scored:,.0f} scored; "
        f"about {hours:,.1f} hours, on 8 such devices {hours / 8:,.1f}"
    )
