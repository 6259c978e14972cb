"""Models, one per file: its options, and `build`, which returns the Keras model."""
