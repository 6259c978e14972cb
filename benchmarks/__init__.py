"""Benchmarks: the cost of the pipeline, as ratios measured in one run. `python -m benchmarks`, or `make bench`.

Each module has a function `run(folder)`. The folder holds the idx files of MNIST; it is None if none was given.
"""
