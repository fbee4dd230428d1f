"""Sound: lists of recordings, their audio files, and shards of log-mel spectrograms."""
