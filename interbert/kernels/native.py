"""Our own CPU kernels (csrc/cpu): bf16 on the tile registers (AMX) of newer x86 processors.

They are plain C functions, compiled once by g++ in seconds, kept in the user's cache under a name that is a digest
of source, flags and compiler, and called through ctypes. Where they cannot be had, the torch twins serve.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

log = logging.getLogger(__name__)

SOURCES = Path(__file__).parent / "csrc" / "cpu"
NEEDED = {"amx_tile", "amx_bf16", "avx512_bf16", "avx512bw", "avx512dq", "avx512vl"}
FLAGS = [
    "-std=c++17", "-O3", "-fPIC", "-fopenmp", "-w", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq",
    "-mavx512bf16", "-mfma", "-mamx-tile", "-mamx-bf16",
]  # fmt: skip

# Of arch_prctl(2): Linux gives a process the tile registers when it asks.
_ARCH_PRCTL, _ASK, _TILE_DATA = 158, 0x1023, 18


class Unavailable(Exception):
    """Why there are no native kernels here."""


def serves(*tensors: Tensor | None) -> bool:
    """Whether the native kernels can take these: bf16 on a CPU that has them."""
    there = [t for t in tensors if t is not None]
    return all(t.dtype == torch.bfloat16 and t.device.type == "cpu" for t in there) and library() is not None


@cache
def library() -> ctypes.CDLL | None:
    if os.environ.get("INTERBERT_NATIVE") == "0":
        log.info("native CPU kernels: switched off by INTERBERT_NATIVE=0")
        return None
    try:
        found = ctypes.CDLL(str(_compiled()))
    except (Unavailable, OSError) as reason:
        log.info("native CPU kernels: not used (%s)", reason)
        return None
    log.info("native CPU kernels: bf16 on tile registers")
    return found


def call(name: str, *arguments: Tensor | int | float | None) -> None:
    """Tensors go as pointers; they must be contiguous. The number of threads is torch's, and goes last."""
    getattr(library(), name)(*map(_argument, arguments), ctypes.c_long(torch.get_num_threads()))


def _argument(value: Tensor | int | float | None) -> ctypes._SimpleCData:
    if isinstance(value, Tensor):
        assert value.is_contiguous()
        return ctypes.c_void_p(value.data_ptr())
    if value is None:
        return ctypes.c_void_p(None)
    return ctypes.c_float(value) if isinstance(value, float) else ctypes.c_long(value)


def _compiled() -> Path:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable("they are for Linux on x86-64")
    missing = NEEDED - _processor_flags()
    if missing:
        raise Unavailable(f"the processor lacks {', '.join(sorted(missing))}")
    if ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK, _TILE_DATA) != 0:
        raise Unavailable("the kernel does not give out tile registers")
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise Unavailable(f"no {compiler}: install g++ 12 or later")
    target = _cache_folder() / f"cpu-{_digest(compiler)}.so"
    if not target.exists():
        _compile(compiler, target)
    return target


def _processor_flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "interbert" / "kernels"


def _digest(compiler: str) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    parts = [version, " ".join(FLAGS).encode()]
    parts += [path.read_bytes() for path in sorted(SOURCES.iterdir())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _compile(compiler: str, target: Path) -> None:
    """Into a folder of its own, then renamed: several ranks may do it at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        objects = []
        for source in sorted(SOURCES.glob("*.cpp")):
            objects.append(str(Path(folder) / source.with_suffix(".o").name))
            _run([compiler, *FLAGS, "-c", str(source), "-o", objects[-1]])
        # Not linked against an OpenMP of its own: torch has loaded one, and two would fight for the cores.
        _run([compiler, "-shared", *objects, "-o", str(Path(folder) / "all.so")])
        os.replace(Path(folder) / "all.so", target)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)} failed:\n{done.stderr.strip()[-2000:]}")
