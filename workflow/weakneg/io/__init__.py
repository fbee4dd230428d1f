"""Files: whole or absent, in a few formats."""
