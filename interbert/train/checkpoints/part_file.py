"""A safetensors file written tensor by tensor and hashed on the way: without a second copy of it, or a look back."""

import hashlib
import json
import math
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

FLOAT = 4
"""Bytes of a number; all are fp32."""
AHEAD = 6
"""Tensors at most that wait in memory to be written."""


class PartFile:
    """What fails is kept for `close`, not raised: who writes may owe other ranks its company until the end."""

    def __init__(self, path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
        """shapes: of the tensors to come, in their order."""
        self._file: IO[bytes] | None = None
        self._sum, self._problem = hashlib.sha256(), ""
        self._hasher, self._writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._begun: deque[Future] = deque()
        try:
            self._file = open(path, "wb")  # noqa: SIM115 (closed by close)
        except OSError as error:
            self._problem = str(error)
        self._write(_header(shapes))

    def add(self, tensor: Tensor) -> None:
        whole = tensor.detach().to("cpu", torch.float32).contiguous()
        self._write(whole.view(-1).view(torch.uint8).numpy())

    def close(self) -> tuple[dict[str, Any], str]:
        """Forces it to disk. Its size and sha256, as a manifest has them, and what went wrong if anything did."""
        self._wait(0)
        self._hasher.shutdown()
        self._writer.shutdown()
        try:
            if self._file:
                with self._file as file:
                    file.flush()
                    os.fsync(file.fileno())
                    return {"bytes": file.tell(), "sha256": self._sum.hexdigest()}, self._problem
        except OSError as error:
            self._problem = self._problem or str(error)
        return {}, self._problem

    def _write(self, data) -> None:
        """Begins it: while it lasts, the ranks gather what comes next."""
        if not self._problem:
            self._begun += (
                self._writer.submit(self._file.write, data),
                self._hasher.submit(self._sum.update, data),
            )
            self._wait(2 * AHEAD)

    def _wait(self, left: int) -> None:
        while len(self._begun) > left:
            try:
                self._begun.popleft().result()
            except OSError as error:
                self._problem = self._problem or str(error)


def _header(shapes: dict[str, tuple[int, ...]]) -> bytes:
    described, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + FLOAT * math.prod(shape)
        described[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
