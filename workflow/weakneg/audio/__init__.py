"""Sound: from audio files to feature stores of log-mel spectrograms."""
