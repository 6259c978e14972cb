"""What it runs on: lock, devices, determinism, signals."""
