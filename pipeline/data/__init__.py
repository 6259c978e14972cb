"""From bytes on disk to batches: readers, splits, feed."""
