"""Data sources, one per file: its options, and `read`, which returns the data set."""
