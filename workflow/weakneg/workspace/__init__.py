"""The folder in which the workflow runs: what made the results, and what is done."""
