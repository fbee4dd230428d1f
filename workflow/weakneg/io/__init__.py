"""Files, whole or absent, in a few formats; downloads, retries and progress reports."""
