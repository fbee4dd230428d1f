"""The configuration, config.yaml and study files, checked before any job starts."""
