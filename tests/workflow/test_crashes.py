"""Snakemake is killed at a few random moments; `tests/support/crashes.py` takes many more."""

from crashes import Crashes, moments


def test_a_killed_run_is_finished_by_the_same_command_with_the_same_bytes(tmp_path):
    crashes = Crashes(tmp_path)
    for after, with_jobs in moments(crashes.seconds, 2, seed=0):
        crashes.crash(after, with_jobs)
