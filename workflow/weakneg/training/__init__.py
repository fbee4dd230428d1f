"""Training: from the bags of a class to one classifier per seed."""
