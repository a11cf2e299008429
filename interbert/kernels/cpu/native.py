"""Our own CPU kernels (csrc/cpu): bf16 on the tile registers (AMX) of newer x86 processors.

They are plain C functions, compiled once by g++ in seconds. Where they cannot be had, the torch twins serve.
"""

import ctypes
import logging
import os
import platform
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from interbert.kernels.compile import Unavailable, build, cache_folder, digest, host_compiler
from interbert.kernels.cpu.bf16 import processor_flags
from interbert.kernels.cpu.native_functions import Argument, converted, declare

log = logging.getLogger(__name__)

SOURCES = Path(__file__).parents[1] / "csrc" / "cpu"
NEEDED = {"amx_tile", "amx_bf16", "avx512_bf16", "avx512bw", "avx512dq", "avx512vl"}
FLAGS = [
    "-std=c++17", "-O3", "-fPIC", "-fopenmp", "-w", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq",
    "-mavx512bf16", "-mfma", "-mamx-tile", "-mamx-bf16",
]  # fmt: skip

# Of arch_prctl(2): Linux gives a process the tile registers when it asks.
_ARCH_PRCTL, _ASK, _TILE_DATA = 158, 0x1023, 18


def serves(*tensors: Tensor | None) -> bool:
    """Whether the native kernels can take these: bf16 on a CPU that has them."""
    there = [t for t in tensors if t is not None]
    return all(t.dtype == torch.bfloat16 and t.device.type == "cpu" for t in there) and library() is not None


def library() -> ctypes.CDLL | None:
    return _found()[0]


def refusal() -> str | None:
    """Why there are none here."""
    return _found()[1]


@cache
def _found() -> tuple[ctypes.CDLL | None, str | None]:
    reason = _refused
    if os.environ.get("INTERBERT_NATIVE") == "0":
        reason = "switched off by INTERBERT_NATIVE=0"
    if not reason:
        try:
            there = load(_compiled())
        except (Unavailable, OSError) as error:
            reason = str(error)
        else:
            log.info("native CPU kernels: bf16 on tile registers")
            return there, None
    log.info("native CPU kernels: not used (%s)", reason)
    return None, reason


def load(file: Path) -> ctypes.CDLL:
    found = ctypes.CDLL(str(file))
    declare(found)
    return found


def refuse(reason: str) -> None:
    """From here on, in this process."""
    global _refused
    _refused = reason
    _found.cache_clear()


_refused = ""


def call(name: str, *arguments: Argument) -> None:
    """Tensors go as pointers. The number of threads is torch's, and goes last."""
    checked = converted(name, (*arguments, torch.get_num_threads()))
    getattr(library(), name)(*checked)


def _compiled() -> Path:
    require_tiles()
    compiler = host_compiler()
    target = cache_folder() / f"cpu-{digest(compiler, FLAGS, SOURCES)}.so"
    if not target.exists():
        build(target, commands(compiler, FLAGS, SOURCES))
    return target


def require_tiles() -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable("they are for Linux on x86-64")
    missing = NEEDED - processor_flags()
    if missing:
        raise Unavailable(f"the processor lacks {', '.join(sorted(missing))}")
    if ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK, _TILE_DATA) != 0:
        raise Unavailable("the kernel does not give out tile registers")


def commands(compiler: str, flags: list[str], sources: Path) -> list[list[str]]:
    compiling, objects = [], []
    for source in sorted(sources.glob("*.cpp")):
        objects.append(f"{{folder}}/{source.stem}.o")
        compiling.append([compiler, *flags, "-c", str(source), "-o", objects[-1]])
    # Not linked against an OpenMP of its own: torch has loaded one, and two would fight for the cores.
    return [*compiling, [compiler, "-shared", *objects, "-o", "{folder}/library.so"]]
