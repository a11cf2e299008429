"""What a piece of work would ask of a GPU: counted while it runs on a CPU, from the operations that torch dispatches.

Launches are estimated: an operation is one, a view is none, and of those over lists of tensors it is counted how
many of torch's multi-tensor kernels they take.
"""

from collections import Counter
from contextlib import ExitStack
from math import ceil
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "is_nonzero", "equal"}
"""Operations whose result the host needs: it waits for the device."""
HOST_ONLY = {"detach", "alias", "empty", "empty_like", "empty_strided", "new_empty", "set_", "record_stream"}
TENSORS_A_LAUNCH = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
"""By the number of lists, as torch's MultiTensorApply.cuh has it."""
CHUNK, BLOCKS = 65536, 320


class Launches(TorchDispatchMode):
    """Within it `asked` counts operations, `launches` kernels and copies, `waits` whatever the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self.launches = 0
        self.waits: Counter[str] = Counter()
        self._patches = ExitStack()

    def __enter__(self) -> "Launches":
        from deepspeed.accelerator import get_accelerator

        waits = lambda *_: self.waits.update(["synchronize"])  # noqa: E731
        self._patches.enter_context(mock.patch.object(get_accelerator(), "synchronize", waits))
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        self._patches.close()
        super().__exit__(*error)

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        name = function.overloadpacket.__name__
        if name in WAITS:
            self.waits[name] += 1
        launches = launches_of(function, name, arguments, result)
        self.asked[name] += launches > 0
        self.launches += launches
        return result


def launches_of(function, name: str, arguments: tuple, result: object) -> int:
    if name in HOST_ONLY or function.is_view or is_same(arguments, result, name):
        return 0
    lists = [argument for argument in arguments if isinstance(argument, list | tuple) and argument]
    if (name.startswith("_foreach") or name == "_fused_adamw_") and isinstance(arguments[0], list | tuple):
        return multi_tensor(len([one for one in lists if isinstance(one[0], torch.Tensor)]), arguments[0])
    return 1 if any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(result)) else 0


def is_same(arguments: tuple, result: object, name: str) -> bool:
    """`to` and `contiguous` give back what is so already."""
    return name in ("_to_copy", "contiguous") and bool(arguments) and result is arguments[0]


def multi_tensor(lists: int, tensors: list[torch.Tensor]) -> int:
    """Kernels that go over lists of tensors: as many as their tables of pointers and of blocks have room for."""
    most, launches, held, blocks = TENSORS_A_LAUNCH[min(max(lists, 1), 5)], 0, 0, 0
    for tensor in tensors:
        held += 1
        for _ in range(ceil(tensor.numel() / CHUNK)):
            blocks += 1
            if blocks == BLOCKS:
                launches, blocks, held = launches + 1, 0, 1
        if held == most:
            launches, blocks, held = launches + 1, 0, 0
    return launches + (blocks > 0)
