"""The cost of a study, estimated before it runs."""
