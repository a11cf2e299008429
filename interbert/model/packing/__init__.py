"""Pairs of any length one after another, without padding: where each row stands, attention within pairs, and the
way from padded tensors and back."""
