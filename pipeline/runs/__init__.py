"""The folder of a run: its state, provenance, model and record."""
