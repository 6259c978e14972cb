"""What the pipeline costs, as ratios of one run: `python -m benchmarks`, or `make bench`."""
