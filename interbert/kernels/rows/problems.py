"""What the kernels are given, as in csrc/fused/row_*.h, and how tensors become pointers."""

import ctypes

import torch
from torch import Tensor

from interbert.kernels.rows.build import launch

_P, _I, _L, _F = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_float
Sources = _P * 3


class RowNorm(ctypes.Structure):
    _fields_ = [
        ("source", Sources),
        ("index", Sources),
        *(
            (name, _P)
            for name in [
                "bias",
                "weight",
                "shift",
                "grad",
                "rng",
                "y",
                "sum_grad",
                "stats",
                "parts",
                "slices",
            ]
        ),
        *(
            (name, _I)
            for name in ["rows", "width", "threshold", "stream", "after", "bfloat16", "most_blocks"]
        ),
        ("eps", _F),
    ]


class Gelu(ctypes.Structure):
    _fields_ = [
        *((name, _P) for name in ["x", "bias", "grad", "y", "parts", "slices"]),
        *((name, _I) for name in ["rows", "width", "bfloat16"]),
    ]


class GeluProduct(ctypes.Structure):
    _fields_ = [
        *((name, _P) for name in ["x", "weight", "bias", "slope", "y", "parts", "slices"]),
        *((name, _I) for name in ["rows", "width", "depth", "bfloat16", "most_blocks"]),
    ]


class RowLoss(ctypes.Structure):
    _fields_ = [
        *((name, _P) for name in ["logits", "target", "share", "grad", "loss", "stats", "right", "out"]),
        ("ignored", _L),
        *((name, _I) for name in ["rows", "classes", "bfloat16"]),
    ]


class Columns(ctypes.Structure):
    _fields_ = [
        *((name, _P) for name in ["parts", "sums", "slices"]),
        *((name, _I) for name in ["columns", "bfloat16"]),
    ]


def pointer(x: Tensor | None) -> int | None:
    if x is None:
        return None
    assert x.is_contiguous()
    return x.data_ptr()


def rows_of(x_NW: Tensor) -> Tensor:
    """In memory as the kernels read rows."""
    x_NW = x_NW.contiguous()
    return x_NW if x_NW.data_ptr() % 16 == 0 else x_NW.clone()


class Parts:
    """Sums of columns before they are added up: each block leaves its own, in fp32."""

    def __init__(self, most_slices: int, columns: int, like: Tensor) -> None:
        self.columns, self.dtype = columns, like.dtype
        self.parts = like.new_empty(max(most_slices, 1) * columns, dtype=torch.float32)
        self.slices = like.new_empty(1, dtype=torch.int32)

    def summed(self) -> Tensor:
        """[columns], in the type of the parameters whose gradients they are."""
        out = self.parts.new_empty(self.columns, dtype=self.dtype)
        problem = Columns(
            *map(pointer, (self.parts, out, self.slices)), self.columns, self.dtype == torch.bfloat16
        )
        launch("interbert_columns", problem, False, out.device)
        return out


def parts_of(parts: Parts | None) -> tuple[Tensor | None, Tensor | None]:
    """As a problem has them."""
    return (None, None) if parts is None else (parts.parts, parts.slices)
