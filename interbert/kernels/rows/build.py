"""The libraries of operations on rows: one an architecture, or the emulator's, compiled when first needed."""

import ctypes
from functools import cache
from pathlib import Path

import torch

from interbert.kernels.attend.fused_build import architecture, made
from interbert.kernels.compile import Unavailable

ROWS, GELU_PRODUCT = "rows", "gelu_product"
"""What passes over rows; the product that meets GELU, which not every architecture has."""

_failures: dict[tuple[int | None, str], str] = {}


@cache
def library(arch: int | None, name: str = ROWS) -> ctypes.CDLL:
    """Raises Unavailable with the reason; the result, either way, holds for the process."""
    if (arch, name) in _failures:
        raise Unavailable(_failures[arch, name])
    try:
        found = ctypes.CDLL(str(compiled(arch, name)))
    except (Unavailable, OSError) as reason:
        _failures[arch, name] = str(reason)
        raise Unavailable(str(reason)) from None
    found.interbert_rows_error.restype = ctypes.c_char_p
    return found


def refuse(arch: int | None, reason: str, name: str = ROWS) -> None:
    """From here on, in this process."""
    _failures[arch, name] = reason
    library.cache_clear()


def compiled(arch: int | None, name: str = ROWS) -> Path:
    """The library's file, made if it is not there."""
    return made(name, f"{name}.cu", [], arch)


def launch(
    function: str, problem: ctypes.Structure, backward: bool, device: torch.device, name: str = ROWS
) -> None:
    """Of a library's functions the one of this name, on the device's current stream."""
    on_gpu = device.type == "cuda"
    with torch.cuda.device(device if on_gpu else -1):
        stream = torch.cuda.current_stream(device).cuda_stream if on_gpu else 0
        there = library(architecture(device), name)
        error = getattr(there, function)(ctypes.byref(problem), int(backward), ctypes.c_void_p(stream))
    if error:
        raise RuntimeError(f"{function} failed: {there.interbert_rows_error(error).decode()} ({error})")
