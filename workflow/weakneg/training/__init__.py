"""Training: from the bags of a class to a classifier per seed."""
