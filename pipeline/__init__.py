"""A training pipeline: config in, a model, its scores and the record of how they came about out."""
