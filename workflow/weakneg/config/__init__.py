"""The configuration: what config.yaml and a study file may say, checked before any job starts."""
