"""What the functions of csrc/cpu take: for C, and so that a wrong argument is an error instead of a crash."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

# As the sources declare them, but `const`; where there is a ?, the pointer may be null.
FUNCTIONS = {
    name: tuple(kinds.split())
    for name, kinds in {
        "product": "long long long bf16* long bf16* long bf16*? bf16* bf16*? long",
        "column_sums": "bf16* long long bf16* long",
        "gelu_backward": "bf16* bf16* long long bf16* bf16* long",
        "add_norm_forward": "bf16* bf16* bf16* bf16* long long float uint64_t long bf16* float* float* bf16* long",
        "add_norm_backward": "bf16* bf16* bf16* float* float* long long uint64_t long bf16* bf16* bf16* bf16* long",
        "cross_entropy_forward": "bf16* int64_t* long long float* float* uint8_t* long",
        "cross_entropy_backward": "bf16* int64_t* float* long long float* bf16* long",
        "attention_forward": "bf16* int32_t* long long long uint64_t long bf16* long",
        "attention_backward": "bf16* bf16* int32_t* long long long uint64_t long bf16* long",
    }.items()
}
POINTERS = {
    "bf16*": torch.bfloat16,
    "float*": torch.float32,
    "int32_t*": torch.int32,
    "int64_t*": torch.int64,
    "uint8_t*": torch.uint8,
}
NUMBERS = {"long": (int, ctypes.c_long), "uint64_t": (int, ctypes.c_uint64), "float": (float, ctypes.c_float)}

Argument = Tensor | int | float | None


def declare(library: ctypes.CDLL) -> None:
    for name, kinds in FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes = [NUMBERS[kind][1] if kind in NUMBERS else ctypes.c_void_p for kind in kinds]
        function.restype = None


def converted(name: str, given: Sequence[Argument]) -> list[int | float | None]:
    """Addresses for tensors, numbers as they are. TypeError where the function takes something else."""
    kinds = FUNCTIONS[name]
    if len(given) != len(kinds):  # ctypes lets surplus ones through
        raise TypeError(f"{name} takes {len(kinds)} arguments, got {len(given)}")
    for place, (kind, value) in enumerate(zip(kinds, given, strict=True)):
        if not _fits(kind, value):
            raise TypeError(f"{name}: argument {place} is {kind}, got {_described(value)}")
    return [value.data_ptr() if isinstance(value, Tensor) else value for value in given]


def _fits(kind: str, value: Argument) -> bool:
    if value is None:
        return kind.endswith("?")
    if isinstance(value, Tensor):
        dtype = POINTERS.get(kind.rstrip("?"))
        return value.dtype == dtype and value.device.type == "cpu" and value.is_contiguous()
    return kind in NUMBERS and isinstance(value, NUMBERS[kind][0])


def _described(value: Argument) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    layout = "contiguous" if value.is_contiguous() else "strided"
    return f"a {layout} tensor of {value.dtype} on {value.device}"
