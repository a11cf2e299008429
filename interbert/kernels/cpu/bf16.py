"""Whether a device multiplies matrices in bf16, or only emulates it: then fp32 is the faster one by far."""

from pathlib import Path

import torch

UNITS = {"amx_bf16", "avx512_bf16", "bf16"}
"""Matrix units and dot products of Intel, AMD and (the last) ARM processors, as Linux calls them."""


def has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(UNITS & processor_flags())


def processor_flags() -> set[str]:
    """Of the processor here, as Linux names them; none where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    told = next((line for line in lines if line.startswith(("flags", "Features"))), ":")
    return set(told.split(":", 1)[1].split())
