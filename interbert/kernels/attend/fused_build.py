"""The fused kernels' libraries: one a head width and architecture, or for the emulator, compiled when first needed.

The same sources are compiled by nvcc for GPUs, and by g++ together with an emulator of a GPU's threads for tests.
"""

import ctypes
import logging
import os
import shutil
from functools import cache
from pathlib import Path

import torch

from interbert.kernels.attend.fused_table import EMULATED_KB, SHARED_KB, buckets
from interbert.kernels.compile import Unavailable, build, cache_folder, digest, host_compiler, run

log = logging.getLogger(__name__)

SOURCES = Path(__file__).parents[1] / "csrc" / "fused"
HOST_FLAGS = ["-std=c++17", "-O2", "-fPIC", "-Wall", "-Wno-unknown-pragmas"]
DEVICE_FLAGS = ["-std=c++17", "-O3"]


class Problem(ctypes.Structure):
    """As in csrc/fused/problem.h."""

    _fields_ = [
        ("qkv", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("logsum", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("order", ctypes.c_void_p),
        ("rng", ctypes.c_void_p),
        ("tokens", ctypes.c_int32),
        ("sequences", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("longest", ctypes.c_int32),
        ("threshold", ctypes.c_int32),
        ("bfloat16", ctypes.c_int32),
        ("most_blocks", ctypes.c_int32),
    ]


def architecture(device: torch.device) -> int | None:
    """90 for sm_90; None for a CPU, which is the emulator's."""
    if device.type != "cuda":
        return None
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


@cache
def library(width: int, arch: int | None) -> ctypes.CDLL:
    """Raises Unavailable with the reason; the result, either way, holds for the process."""
    failure = _failures.get((width, arch))
    if failure:
        raise Unavailable(failure)
    try:
        found = ctypes.CDLL(str(compiled(width, arch)))
    except (Unavailable, OSError) as reason:
        _failures[width, arch] = str(reason)
        raise Unavailable(str(reason)) from None
    found.interbert_attention_error.restype = ctypes.c_char_p
    return found


_failures: dict[tuple[int, int | None], str] = {}


def refuse(width: int, arch: int | None, reason: str) -> None:
    """From here on, in this process."""
    _failures[width, arch] = reason
    library.cache_clear()


def compiled(width: int, arch: int | None) -> Path:
    """The library's file, made if it is not there."""
    return made(f"attention-{width}", "entry.cu", definitions(width, arch), arch)


def primitives(arch: int | None) -> ctypes.CDLL:
    """Trials of the single operations that the kernels are written with."""
    return ctypes.CDLL(str(made("primitives", "primitives_check.cu", [], arch)))


def made(name: str, source: str, flags: list[str], arch: int | None) -> Path:
    """The file of a library of ours, compiled for an architecture, or without one for the emulator."""
    compiler = host_compiler() if arch is None else nvcc()
    machine = "emulated" if arch is None else f"sm_{arch}"
    all_flags = [*(HOST_FLAGS if arch is None else DEVICE_FLAGS), *flags]
    target = cache_folder() / f"{name}-{machine}-{digest(compiler, all_flags, SOURCES)}.so"
    if not target.exists():
        log.info("compiling %s for %s", name, machine)
        host, device = host_commands(compiler, source, flags), device_command(compiler, source, flags, arch)
        build(target, host if arch is None else [device])
    return target


def nvcc() -> str:
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    for candidate in (
        *(f"{home}/bin/nvcc" for home in homes[:2] if home),
        shutil.which("nvcc"),
        f"{homes[2]}/bin/nvcc",
    ):
        if candidate and Path(candidate).exists():
            return candidate
    raise Unavailable("no nvcc: install the CUDA toolkit, or set CUDA_HOME")


def definitions(width: int, arch: int | None) -> list[str]:
    # nvcc takes a comma in a flag for the end of a value.
    comma = "," if arch is None else "\\,"
    lists = (comma.join(map(str, buckets(width, arch, backward))) for backward in (False, True))
    forward, backward = lists
    room = f"-DROOM_KB={SHARED_KB.get(arch, EMULATED_KB)}"
    return [f"-DWIDTH={width}", f"-DFORWARD={forward}", f"-DBACKWARD={backward}", room]


def device_command(
    compiler: str, source: str, flags: list[str], arch: int | None, cubin: Path | None = None
) -> list[str]:
    """With `cubin`, code of the device alone goes there and nvcc tells what resources it takes."""
    output = ["-shared", "-Xcompiler", "-fPIC", "-o", "{folder}/library.so"]
    if cubin:
        output = ["-cubin", "-Xptxas", "-v", "-o", str(cubin)]
    return [compiler, *DEVICE_FLAGS, *target(arch), *flags, *output, str(SOURCES / source)]


def target(arch: int | None) -> list[str]:
    """What sm_90 alone has (products of four warps) it has under a name of its own."""
    own = "a" if arch == 90 else ""
    return [f"-gencode=arch=compute_{arch}{own},code=sm_{arch}{own}"]


def resources(width: int, arch: int, cubin: Path) -> str:
    """nvcc's report on every kernel of a head width: registers, spills, local memory."""
    return run(device_command(nvcc(), "entry.cu", definitions(width, arch), arch, cubin))


def host_commands(compiler: str, source: str, flags: list[str]) -> list[list[str]]:
    objects = ["{folder}/emulator.o", "{folder}/kernels.o"]
    return [
        [compiler, *HOST_FLAGS, "-c", str(SOURCES / "emulator.cpp"), "-o", objects[0]],
        [compiler, *HOST_FLAGS, *flags, "-x", "c++", "-c", str(SOURCES / source), "-o", objects[1]],
        [compiler, "-shared", *objects, "-o", "{folder}/library.so"],
    ]
