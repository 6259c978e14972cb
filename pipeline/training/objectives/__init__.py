"""What one batch teaches, one file each."""
