"""A kernel of another kind whose time others have measured: FlashAttention-2's forward, long sequences, 64 wide.

Its machine code for sm_90 comes in a wheel of xformers (0.0.25.post1), its speed on an H100 SXM5 from the paper of
FlashAttention-3 (arXiv 2407.08608, the figure of forward speed: fp16, 64 wide, not causal).
"""

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.kernel_model.code import Kernel, kernels
from benchmarks.kernel_model.launch import OF_ALL, run
from benchmarks.kernel_model.machine import Machine
from benchmarks.kernel_model.state import Memory, Region

MEASURED = {512: 282, 1024: 306, 2048: 318, 4096: 321, 8192: 322, 16384: 324}
"""TFLOP/s by length; 16,384 tokens, 32 heads of 64."""

TOKENS, HEADS, WIDTH, TILE = 16384, 32, 64, 128
THREADS = 128
SHARED = 3 * TILE * WIDTH * 2
FATBIN, ELF, SM_90 = b"\x50\xed\x55\xba", 2, 90
NAME = ("flash_fwd_kernel", "traitsILi64ELi128ELi128ELi4", "half_t", "ELb0ELb0ELb0ELb0ELb1ELb1ELb0EEv")
"""Tiles of 128 x 128 by four warps; no dropout, mask or window, and lengths that are multiples of the tiles."""


def kernel_of(library: Path, folder: Path) -> Kernel:
    for number, image in enumerate(images(library.read_bytes())):
        if all(part.encode() in image for part in NAME):
            cubin = folder / f"{number}.cubin"
            cubin.write_bytes(image)
            for name, kernel in kernels(cubin).items():
                if all(part in name for part in NAME):
                    return replace(kernel, threads=THREADS)
    raise ValueError(f"{library} holds no forward kernel of FlashAttention-2 for sm_90")


def images(data: bytes) -> Iterator[bytes]:
    """The cubins for sm_90 in a library: containers of entries, each with a header that tells its kind."""
    at = data.find(FATBIN)
    while at >= 0:
        header, size = struct.unpack_from("<HQ", data, at + 6)
        entry, end = at + header, at + header + size
        while header == 16 and entry < end:
            kind, _, skip, length = struct.unpack_from("<HHIQ", data, entry)
            (arch,) = struct.unpack_from("<I", data, entry + 28)
            if kind == ELF and arch == SM_90:
                yield data[entry + skip : entry + skip + length]
            entry += skip + length
        at = data.find(FATBIN, max(end, at + 4) if header == 16 else at + 4)


def arguments(length: int) -> tuple[bytes, Memory]:
    """As the library lays them out: places, strides in elements (sequence, row, head), sizes, scales."""
    row = HEADS * WIDTH
    sequence = length * row
    regions = [Region((n + 1) << 40, TOKENS * row * 2, in_L2=n in (1, 2)) for n in range(4)]
    query, key, value, out = (x.begin for x in regions)
    logsum = Region(5 << 40, TOKENS * HEADS * 4)
    strides = [sequence] * 3 + [row] * 3 + [WIDTH] * 3
    data = struct.pack("<3Q9q3i4x", query, key, value, *strides, HEADS, HEADS, 1)
    data += struct.pack("<2Q3q", out, 0, sequence, row, WIDTH) + struct.pack("<3Q", 0, logsum.begin, 0)
    sizes = (TOKENS // length, length, length, 0, WIDTH, length, length, WIDTH, 0)
    data += struct.pack("<9i2f", *sizes, WIDTH**-0.5, WIDTH**-0.5 * 1.4426950408889634)
    return data.ljust(512, b"\0"), Memory([*regions, logsum])


def predicted(machine: Machine, kernel: Kernel, length: int) -> float:
    """TFLOP/s."""
    tiles, sequences = length // TILE, TOKENS // length
    blocks = [(m, b, h) for h in range(HEADS) for b in range(sequences) for m in range(tiles)]
    data, memory = arguments(length)
    report, _ = run(machine, kernel, SHARED, data, memory, blocks[OF_ALL :: machine.multiprocessors])
    seconds = report.clocks / machine.clock_hz + machine.launch_seconds
    return 4 * TOKENS * length * HEADS * WIDTH / seconds / 1e12
