"""From a feature store to bags."""
