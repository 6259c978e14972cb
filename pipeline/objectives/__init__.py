"""What one batch teaches a model: one file per objective, with its options, losses, updates and scores."""
