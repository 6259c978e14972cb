"""From files to batches: sources, splits, checks and the input pipeline."""
