"""Kernels with several implementations of one signature, and the places that choose among them."""

from interbert.kernels.attention import attention

__all__ = ["attention"]
