"""The instructions of compiled kernels: a cubin taken apart by nvdisasm, and what each word says of waiting.

An instruction of 128 bits tells, beside what it does, how many clocks its warp waits after it, which of six counters
it raises until its result is there or its sources are read, and for which of them it waits first.
"""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HINT = "no nvdisasm: pip install nvidia-cuda-nvdisasm, or put the CUDA toolkit's on the PATH"

LINE = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;\s+/\* 0x[0-9a-f]{16} \*/")
WORD = re.compile(r"/\* 0x([0-9a-f]{16}) \*/")
LABEL = re.compile(r"^(\S+):$")
NAME = re.compile(r"(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*)")
REGISTERS = re.compile(r"EIATTR_REGCOUNT\n(?:.*\n){1,6}?.*index@\((\S+)\)\n.*\.word\t0x(\w+)")
THREADS = re.compile(
    r"\.section\t\.nv\.info\.(\S+?),(?:(?!\.section).*\n)+?.*EIATTR_MAX_THREADS\n(?:.*\n){1,5}?.*\.word\t0x(\w+)"
)
NONE = 7


class Missing(ValueError):
    """A tool of NVIDIA's is not here; the text says which and where it comes from."""


@dataclass(slots=True, frozen=True)
class Instruction:
    at: int
    guard: str
    """Predicate without which nothing happens, as written; empty: always."""
    name: str
    base: str
    """The first part of its name."""
    operands: tuple[str, ...]
    stall: int
    """Clocks until the warp's next instruction."""
    raises: int
    """Counter that falls when the result is there; 7: none."""
    holds: int
    """Counter that falls when the sources have been read; 7: none."""
    awaits: tuple[int, ...]
    """Counters that must have fallen before."""


@dataclass(frozen=True)
class Kernel:
    name: str
    instructions: list[Instruction]
    labels: dict[str, int]
    """Number of the instruction that follows."""
    registers: int = 0
    """Of a thread."""
    threads: int = 0
    """Of a block: what the kernel was compiled for."""


def nvdisasm() -> str:
    found = shutil.which("nvdisasm")
    for package in ("nvidia.cu13", "triton"):
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in spec.submodule_search_locations or () if spec else ():
            for below in ("bin", "backends/nvidia/bin"):
                candidate = Path(folder) / below / "nvdisasm"
                found = found or (str(candidate) if candidate.exists() else None)
    if not found:
        raise Missing(HINT)
    return found


def kernels(cubin: Path) -> dict[str, Kernel]:
    """By the names that the compiler gave them."""
    text = subprocess.run([nvdisasm(), "-hex", str(cubin)], capture_output=True, text=True, check=True).stdout
    head, *sections = text.split("\t.section\t.text.")
    registers = {name: int(n, 16) for name, n in REGISTERS.findall(head)}
    threads = {name: int(n, 16) for name, n in THREADS.findall(head)}
    found = {}
    for section in sections:
        name, rest = section.split(",", 1)
        code = rest.split("\n//---------------------")[0]
        found[name] = parse(name, code, registers.get(name, 0), threads.get(name, 0))
    return found


def parse(name: str, text: str, registers: int = 0, threads: int = 0) -> Kernel:
    instructions, labels = [], {}
    lines = iter(text.splitlines())
    for line in lines:
        if match := LINE.match(line):
            high = int(WORD.search(next(lines))[1], 16) >> 41
            instructions.append(instruction(int(match[1], 16), match[2], high))
        elif match := LABEL.match(line):
            labels[match[1]] = len(instructions)
    return Kernel(name, instructions, labels, registers, threads)


def instruction(at: int, text: str, control: int) -> Instruction:
    match = NAME.match(text.strip("{} "))
    assert match, text
    guard, name, rest = match.groups()
    operands = tuple(x.strip() for x in rest.split(",")) if rest else ()
    return Instruction(
        at,
        guard or "",
        name,
        name.split(".")[0],
        tuple(x.removesuffix(".reuse") for x in operands),
        stall=control & 15,
        raises=control >> 5 & 7,
        holds=control >> 8 & 7,
        awaits=tuple(n for n in range(6) if control >> 11 + n & 1),
    )
