"""The library of operations on rows: one an architecture, or the emulator's, compiled when first needed."""

import ctypes
from functools import cache
from pathlib import Path

import torch

from interbert.kernels.attend.fused_build import architecture, made
from interbert.kernels.compile import Unavailable

_failures: dict[int | None, str] = {}


@cache
def library(arch: int | None) -> ctypes.CDLL:
    """Raises Unavailable with the reason; the result, either way, holds for the process."""
    if arch in _failures:
        raise Unavailable(_failures[arch])
    try:
        found = ctypes.CDLL(str(compiled(arch)))
    except (Unavailable, OSError) as reason:
        _failures[arch] = str(reason)
        raise Unavailable(str(reason)) from None
    found.interbert_rows_error.restype = ctypes.c_char_p
    return found


def refuse(arch: int | None, reason: str) -> None:
    """From here on, in this process."""
    _failures[arch] = reason
    library.cache_clear()


def compiled(arch: int | None) -> Path:
    """The library's file, made if it is not there."""
    return made("rows", "rows.cu", [], arch)


def launch(name: str, problem: ctypes.Structure, backward: bool, device: torch.device) -> None:
    """Of the library's functions the one of this name, on the device's current stream."""
    on_gpu = device.type == "cuda"
    with torch.cuda.device(device if on_gpu else -1):
        stream = torch.cuda.current_stream(device).cuda_stream if on_gpu else 0
        there = library(architecture(device))
        error = getattr(there, name)(ctypes.byref(problem), int(backward), ctypes.c_void_p(stream))
    if error:
        raise RuntimeError(f"{name} failed: {there.interbert_rows_error(error).decode()} ({error})")
