"""The CPU kernels' sources built for any processor: tests/kernels/portable stands for the compiler's intrinsics."""

from pathlib import Path

from interbert.kernels.compile import build, host_compiler
from interbert.kernels.cpu import native

HEADERS = Path(__file__).parent / "kernels" / "portable"
FLAGS = [*(flag for flag in native.FLAGS if not flag.startswith("-m")), "-O1", f"-I{HEADERS}"]


def build_portable(folder: Path, sources: Path = native.SOURCES, sanitizers: tuple[str, ...] = ()) -> Path:
    *compiling, link = native.commands(host_compiler(), [*FLAGS, *sanitizers], sources)
    library = folder / "portable.so"
    build(library, [*compiling, [*link, *sanitizers]])
    return library
