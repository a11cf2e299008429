"""What a model is built of."""
