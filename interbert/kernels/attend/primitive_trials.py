"""The single operations that the fused kernels are written with, tried one by one on a device or in the emulator."""

import ctypes
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from interbert.kernels.attend.fused_build import architecture, primitives

THREADS = np.arange(32)


def failures(device: torch.device) -> dict[str, str]:
    """What each failing trial says; empty when all operations do what they should."""
    there = primitives(architecture(device))
    found = {}
    for number, (name, words, dtype, expected) in enumerate(TRIALS):
        given = trial_input(dtype)
        want = expected(given)
        problem = _run(there, number, given, words, want, device)
        if problem:
            found[name] = problem
    return found


def trial_input(dtype: torch.dtype) -> Tensor:
    """[48, 256] numbers that both 16-bit types hold exactly; most operations take them as rows of 32."""
    return (torch.arange(48 * 256).reshape(48, 256) * 37 % 61 - 30).to(dtype)


def _run(
    there: ctypes.CDLL, number: int, given: Tensor, words: int, want: np.ndarray, device: torch.device
) -> str | None:
    source = given.to(device)
    out = torch.full((words,), -1, dtype=torch.int32, device=device)
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    pointers = (ctypes.c_void_p(p) for p in (source.data_ptr(), out.data_ptr(), stream))
    with torch.cuda.device(device if device.type == "cuda" else -1):
        error = there.interbert_primitive(number, *pointers)
    if error:
        return f"error {error}"
    got = out.cpu().numpy().view(want.dtype).reshape(want.shape)
    same = np.allclose(got, want, rtol=1e-6) if want.dtype == np.float32 else np.array_equal(got, want)
    return None if same else f"got {got.ravel()[:8]} …, expected {want.ravel()[:8]} …"


def _bits(x: Tensor) -> np.ndarray:
    return x.contiguous().view(torch.int16).numpy().view(np.uint16)


def _copies(given: Tensor) -> np.ndarray:
    chunks = _bits(given).reshape(-1, 8)[:128].copy()
    chunks[1::2] = 0
    return chunks


def _matrices(given: Tensor) -> np.ndarray:
    """[32 lanes, 4 matrices, 2]: (upper, lower) left, then (upper, lower) right."""
    return _pairs(_bits(given), transposed=False)


def _transposed(given: Tensor) -> np.ndarray:
    return _pairs(_bits(given), transposed=True)


def _pairs(bits: np.ndarray, transposed: bool) -> np.ndarray:
    bits, found = bits.reshape(-1, 32), np.zeros((32, 4, 2), np.uint16)
    for matrix, (row, column) in enumerate([(0, 0), (8, 0), (0, 8), (8, 8)]):
        part = bits[row : row + 8, column : column + 8]
        part = part.T if transposed else part
        found[:, matrix] = part.reshape(32, 2)
    return found


def _product(given: Tensor) -> np.ndarray:
    """[32 lanes, 4]: rows lane / 4 and 8 below of A (rows 0 … 15) times B (rows 16 … 23), plus 0, 1, 2, 3."""
    rows = given.reshape(-1, 32)[:, :16].float()
    product = (rows[:16] @ rows[16:24].T).numpy()
    row, column = THREADS // 4, THREADS % 4 * 2
    sums = [product[row + below, column + right] for below in (0, 8) for right in (0, 1)]
    return (np.stack(sums, axis=1) + np.arange(4)).astype(np.float32)


def _barriers(given: Tensor) -> np.ndarray:
    threads = np.arange(64)
    shuffled = (threads ^ 2).astype(np.float32).view(np.uint32)
    return np.stack([(163 - threads).astype(np.uint32), shuffled], axis=1)


def _rounded(given: Tensor) -> np.ndarray:
    low = torch.from_numpy(1 / (THREADS + 3).astype(np.float32)).to(given.dtype)
    high = torch.from_numpy(-1000 / (THREADS + 7).astype(np.float32)).to(given.dtype)
    words = _bits(low).astype(np.uint32) | _bits(high).astype(np.uint32) << 16
    values = [x.float().numpy().view(np.uint32) for x in (low, high)]
    return np.stack([words, *values, THREADS.astype(np.uint32)], axis=1)


def _powers(given: Tensor) -> np.ndarray:
    return np.stack([2.0 ** (-0.75 * THREADS), np.log2(1.0 + 3 * THREADS)], axis=1).astype(np.float32)


def _bands(width: int) -> Callable[[Tensor], np.ndarray]:
    """Two tiles of 32 rows of the second head of this width: the last 27, and 20 from row 5 on; zeros below."""

    def expected(given: Tensor) -> np.ndarray:
        tiles = np.zeros((2, 32, width), np.uint16)
        head = _bits(given)[:, width : 2 * width]
        tiles[0, :27], tiles[1, :20] = head[21:], head[5:25]
        return tiles

    return expected


def _units(given: Tensor) -> np.ndarray:
    """By unit and thread: twice what its warp has summed, and once what the other one has; then the counter."""
    words = _bits(given).view(np.uint32)
    found = np.zeros((13, 2, 32), np.uint32)
    for unit in range(13):
        first, rows = 3 * unit % 16, 1 + 7 * unit % 32
        panel, second = (
            words[first : first + rows, 32 * (number % 4) :][:, :32] for number in (unit, unit + 1)
        )
        sums = [
            part.sum(0, dtype=np.uint32) + 3 * second[:16].sum(0, dtype=np.uint32)
            for part in (panel[:16], panel[16:])
        ]
        found[unit] = 2 * np.stack(sums) + np.stack(sums[::-1])
    return np.append(found, np.uint32(0))


def _phases(given: Tensor) -> np.ndarray:
    return (100 * np.arange(8)[:, None] + THREADS[::-1]).astype(np.uint32)


def _octets(width: int) -> Callable[[Tensor], np.ndarray]:
    """[3, 16, width]: queries, keys and values of the second of two heads, of the last 13 tokens; zeros below."""

    def expected(given: Tensor) -> np.ndarray:
        row = 3 * 2 * width
        tokens = _bits(given).ravel()[: given.numel() // row * row].reshape(-1, 3, 2, width)
        found = np.zeros((3, 16, width), np.uint16)
        found[:, :13] = tokens[-13:, :, 1].transpose(1, 0, 2)
        return found

    return expected


def _stored_transposed(given: Tensor) -> np.ndarray:
    """[4 matrices, 8 columns, 8 rows] of matrices that lie one behind the other."""
    return _bits(given).reshape(-1)[:256].reshape(4, 8, 8).transpose(0, 2, 1).copy()


def _group_products(chunks: int) -> Callable[[Tensor], np.ndarray]:
    """[128 threads, 16 + 32 + 32]: each warp's 16 rows of three products, as ldmatrix and mma have them."""

    def expected(given: Tensor) -> np.ndarray:
        rows = np.arange(64)
        left = given[(7 + rows) % 48, 32 : 32 + 8 * chunks].float()
        right = given[(21 + rows) % 48, 160:224].float()
        across = torch.zeros(64, 64)
        across[: 8 * chunks] = left[:16].T @ right[:16]
        whole = left @ right[:32].T if chunks == 8 else torch.zeros(64, 32)
        products = [whole, left[:, :16] @ right[:16], across]
        return np.concatenate([_sums(x.numpy()) for x in products], axis=1)

    return expected


def _sums(product: np.ndarray) -> np.ndarray:
    """Of [64, N] each thread's N / 2: of each 8 columns two of a row and two of the one 8 below."""
    i = np.arange(product.shape[1] // 2)
    thread = np.arange(128)[:, None]
    row = thread // 32 * 16 + thread % 32 // 4 + i // 2 % 2 * 8
    return product[row, i // 4 * 8 + thread % 4 * 2 + i % 2].astype(np.float32)


HALF, BFLOAT = torch.float16, torch.bfloat16
TRIALS = (
    ("asynchronous copies", 512, HALF, _copies),
    ("ldmatrix", 128, HALF, _matrices),
    ("ldmatrix, transposed", 128, HALF, _transposed),
    ("mma fp16", 128, HALF, _product),
    ("mma bf16", 128, BFLOAT, _product),
    ("barriers and shuffles", 128, HALF, _barriers),
    ("rounding to fp16", 128, HALF, _rounded),
    ("rounding to bf16", 128, BFLOAT, _rounded),
    ("powers and logarithms", 64, HALF, _powers),
    ("bands of 32", 1024, HALF, _bands(32)),
    ("bands of 64", 2048, HALF, _bands(64)),
    ("bands of 96", 3072, HALF, _bands(96)),
    ("bands of 128", 4096, HALF, _bands(128)),
    ("units", 833, HALF, _units),
    ("phases", 256, HALF, _phases),
    ("octets of 32", 768, HALF, _octets(32)),
    ("octets of 64", 1536, HALF, _octets(64)),
    ("octets of 96", 2304, HALF, _octets(96)),
    ("octets of 128", 3072, HALF, _octets(128)),
    ("stmatrix, transposed", 128, HALF, _stored_transposed),
    ("products of four warps, fp16", 10240, HALF, _group_products(8)),
    ("products of four warps, bf16", 10240, BFLOAT, _group_products(8)),
    ("products of four warps, panels of 32", 10240, HALF, _group_products(4)),
    ("products of four warps, panels of 16", 10240, BFLOAT, _group_products(2)),
)
"""In the order of csrc/fused/primitives_check.cu: name, words that come out, type of the input, what is expected."""
