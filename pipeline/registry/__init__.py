"""The registry of runs: a journal in every run folder, and the SQL tables that are filled from the journals."""
