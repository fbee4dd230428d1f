"""Models of bags: an encoder of instances (one file each), a linear head and a pooling."""
