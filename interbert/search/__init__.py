"""Searching items by words: a first stage that finds candidates by vectors, and the whole model that ranks them."""
