"""Kernels with several implementations of one signature, and the places that choose among them."""

from interbert.kernels.attention import attention
from interbert.kernels.cross_attention import cross_attention
from interbert.kernels.fused_table import supported

__all__ = ["attention", "cross_attention", "supported"]
