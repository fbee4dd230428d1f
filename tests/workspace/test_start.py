"""What a workflow does before its jobs and after them."""

import gc
import inspect

from snakemake.scheduling import job_scheduler

from weakneg.workspace.start import _STOPPED, collect_garbage_again, failure


def test_a_workflow_that_was_stopped_is_not_said_to_have_failed(tmp_path):
    log = tmp_path / "snakemake.log"
    log.write_text(f"{_STOPPED}, this might take some time.\nRuleException:\n")
    assert failure([str(log)]) == "Stopped. The same command continues where it stopped."
    assert _STOPPED in inspect.getsource(job_scheduler), "as Snakemake says it"
    log.write_text("RuleException:\n")
    assert failure([str(log)]).startswith("A job failed: ")


def test_garbage_is_collected_while_jobs_run():
    """A workflow of days would grow without."""
    gc.disable()
    try:
        collect_garbage_again()
        assert gc.isenabled()
        assert gc.get_freeze_count()  # what was there before is not searched
    finally:
        gc.enable()
        gc.unfreeze()
