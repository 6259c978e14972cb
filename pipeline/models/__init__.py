"""What learns: one file a way of building Keras models."""
