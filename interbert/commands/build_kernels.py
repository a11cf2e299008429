"""`python -m interbert build-kernels`: compile the fused kernels before they are needed."""

import argparse
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

HELP = "compile the fused CUDA kernels now, and not at the first step"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--arch",
        type=int,
        nargs="+",
        metavar="NN",
        help="as in sm_NN, such as 90 (that of this machine's GPUs)",
    )
    parser.add_argument(
        "--width",
        type=int,
        nargs="+",
        default=[64, 96],
        metavar="N",
        help="head widths: 32, 64, 96, 128 (64 96)",
    )


def run(arguments: argparse.Namespace) -> int:
    from interbert.kernels.attend.fused_build import compiled
    from interbert.kernels.attend.fused_table import LONGEST, SHARED_KB, longest
    from interbert.kernels.rows import build as rows
    from interbert.kernels.rows.table import GELU_PRODUCT_ARCHS

    _must_be_among("--arch", arguments.arch or [], SHARED_KB)
    _must_be_among("--width", arguments.width, LONGEST)
    for arch in arguments.arch or _archs_here():
        print(f"sm_{arch}, operations on rows: {_made(rows.compiled, arch)}")
        if arch in GELU_PRODUCT_ARCHS:
            print(f"sm_{arch}, GELU within products: {_made(rows.compiled, arch, rows.GELU_PRODUCT)}")
        for width in arguments.width:
            file = _made(compiled, width, arch)
            forward, backward = (longest(width, arch, one) for one in (False, True))
            print(f"sm_{arch}, head width {width}: up to {forward} tokens, {backward} in training: {file}")
    return 0


def _made(compiled: Callable[..., Path], *what: int | str) -> Path:
    from interbert.kernels.compile import Unavailable

    try:
        return compiled(*what)
    except Unavailable as reason:
        raise ValueError(str(reason)) from None


def _must_be_among(flag: str, given: Iterable[int], served: Collection[int]) -> None:
    for number in given:
        if number not in served:
            raise ValueError(f"{flag} {number}: the fused kernels are made for {', '.join(map(str, served))}")


def _archs_here() -> list[int]:
    import torch

    from interbert.kernels.attend.fused_build import architecture
    from interbert.kernels.attend.fused_table import SHARED_KB

    found = {architecture(torch.device("cuda", i)) for i in range(torch.cuda.device_count())}
    if not found:
        raise ValueError("no GPU is seen here: name the architectures to compile for, such as --arch 90")
    unknown = sorted(found - set(SHARED_KB))
    if unknown:
        raise ValueError(
            f"the fused kernels are not made for sm_{unknown[0]} of this machine; they are for "
            f"{', '.join(f'sm_{arch}' for arch in sorted(SHARED_KB))}: name one of these with --arch"
        )
    return sorted(found)
