"""Kernels with several implementations of one signature, and the places that choose among them."""

from interbert.kernels.attend.attention import attention
from interbert.kernels.attend.cross_attention import cross_attention
from interbert.kernels.attend.fused_table import supported

__all__ = ["attention", "cross_attention", "supported"]
