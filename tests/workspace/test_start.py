"""What is said when a workflow begins or ends."""

import inspect

from snakemake.scheduling import job_scheduler

from weakneg.workspace.start import _STOPPED, failure


def test_a_workflow_that_was_stopped_is_not_said_to_have_failed(tmp_path):
    log = tmp_path / "snakemake.log"
    log.write_text(f"{_STOPPED}, this might take some time.\nRuleException:\n")
    assert failure([str(log)]) == "Stopped. The same command continues where it stopped."
    assert _STOPPED in inspect.getsource(job_scheduler), "as Snakemake says it"
    log.write_text("RuleException:\n")
    assert failure([str(log)]).startswith("A job failed: ")
