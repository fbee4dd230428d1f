"""The folder in which the workflow runs: its state, and the record of how results were made."""
