"""Which calls the fused kernels serve: the one truth that dispatch, compilation and tests read.

What bounds a length is registers, shared memory, or both. The registers' bounds are those at which nvcc reports
neither spills nor local memory; shared memory is counted as the kernels lay it out.
"""

import torch

BUCKETS = (16, 32, 48, 64, 96, 128, 144, 160, 256)
"""A kernel is compiled for each; a call takes the first that its longest sequence fits in."""

LONGEST = {32: (256, 160), 64: (256, 160), 96: (128, 128), 128: (128, 96)}
"""By head width: the longest sequence forward and backward that registers allow."""

SHARED_KB = {80: 163, 86: 99, 87: 163, 89: 99, 90: 227, 100: 227, 103: 227, 120: 99}
"""By architecture: what a block may have of shared memory."""

EMULATED_KB = 99
"""What a block of the emulator has for the forward pass: so little that units wait for room."""

DTYPES = (torch.float16, torch.bfloat16)


def supported(width: int, length: int, dtype: torch.dtype, arch: int | None, backward: bool = True) -> bool:
    """Whether sequences of up to `length` are served; with `backward`, by both passes. No `arch`: the emulator."""
    passes = (False, True) if backward else (False,)
    return dtype in DTYPES and all(length <= longest(width, arch, one) for one in passes)


def longest(width: int, arch: int | None, backward: bool) -> int:
    """0 where nothing is."""
    return max(buckets(width, arch, backward), default=0)


def buckets(width: int, arch: int | None, backward: bool) -> list[int]:
    if width not in LONGEST or (arch is not None and arch not in SHARED_KB):
        return []
    fitting = [b for b in BUCKETS if b <= LONGEST[width][backward]]
    if arch is None:
        return fitting
    return [b for b in fitting if shared_bytes(width, b, backward, arch) <= SHARED_KB[arch] * 1024]


def shared_bytes(width: int, bucket: int, backward: bool, arch: int | None) -> int:
    """Of a block: backward tiles and squares of probabilities, or results in their place; forward all that there is,
    for one block or two."""
    if backward and by_groups(width, bucket, arch):
        return _shared_of_groups(width, bucket)
    if backward:
        units = max(64 // bucket, 1) // (2 if width > 96 and bucket <= 32 else 1)
        tile, square = bucket * width * 2, bucket * bucket * 2
        return units * (4 * tile + max(tile, square * (2 if bucket <= 64 else 1)) + 16)
    blocks = 2 if width <= 64 and bucket <= 64 else 1
    notes = 64 * (16 if blocks == 2 else 8)
    room = ((SHARED_KB.get(arch, EMULATED_KB) + 1) // blocks - 1) * 1024
    return max((room - notes) // 1024 * 1024, 3 * bucket * width * 2) + notes


def by_groups(width: int, bucket: int, arch: int | None) -> bool:
    """Whether the backward pass multiplies by groups of four warps."""
    return width == 64 and bucket > 32 and arch in (90, None)


def _shared_of_groups(width: int, bucket: int) -> int:
    """Tiles of one unit or two, and panels of 64 queries of the squares, the last of which may be narrower."""
    groups = -(-bucket // 64)
    units = 1 if groups > 1 else 3 if bucket > 48 else 4
    rest = bucket - 64 * (groups - 1)
    last = 8 if rest > 32 else rest // 8
    squares = (2 if groups > 1 else 1) * bucket * 16 * (8 * (groups - 1) + last)
    stage = 4 * bucket * width * 2
    stages = 2 if units * (2 * stage + squares) <= 230400 else 1
    unit = -(-(stages * stage + squares) // 1024) * 1024
    return units * unit + max(units * stages * 16, 48 * 16 * last)
