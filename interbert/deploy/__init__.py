"""A model for elsewhere: padded, traced, quantised, and held to what it was."""
