"""One recipe a file: what `python -m pipeline COMMAND` does, step by step."""
