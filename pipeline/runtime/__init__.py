"""The machine: lock, devices, determinism, signals and processes."""
