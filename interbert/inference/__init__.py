"""Models as Hugging Face users hold them: what prepares their inputs, and plain calls."""
