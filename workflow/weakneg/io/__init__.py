"""Files, whole or absent, in a few formats; downloads, and what is said while they last."""
