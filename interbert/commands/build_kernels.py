"""`python -m interbert build-kernels`: compile the fused kernels before they are needed."""

import argparse

HELP = "compile the fused CUDA kernels now, and not at the first step"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from interbert.kernels.fused_table import LONGEST, SHARED_KB

    parser.add_argument(
        "--arch",
        type=int,
        nargs="+",
        choices=sorted(SHARED_KB),
        metavar="NN",
        help=f"as in sm_NN: {', '.join(map(str, sorted(SHARED_KB)))} (that of this machine's GPUs)",
    )
    parser.add_argument(
        "--width",
        type=int,
        nargs="+",
        choices=sorted(LONGEST),
        default=[64, 96],
        metavar="N",
        help=f"head widths: {', '.join(map(str, sorted(LONGEST)))} (64 96)",
    )


def run(arguments: argparse.Namespace) -> int:
    from interbert.kernels.compile import Unavailable
    from interbert.kernels.fused_build import compiled
    from interbert.kernels.fused_table import longest

    for arch in arguments.arch or _archs_here():
        for width in arguments.width:
            try:
                file = compiled(width, arch)
            except Unavailable as reason:
                raise ValueError(str(reason)) from None
            forward, backward = (longest(width, arch, one) for one in (False, True))
            print(f"sm_{arch}, head width {width}: up to {forward} tokens, {backward} in training: {file}")
    return 0


def _archs_here() -> list[int]:
    import torch

    from interbert.kernels.fused_build import architecture
    from interbert.kernels.fused_table import SHARED_KB

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
