"""Real processes, started as people start them."""

from processes import runs

__all__ = ["runs"]
