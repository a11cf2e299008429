"""What the tests of the CPU kernels are worth: under sanitizers they are quiet, and broken sources make them fail.

The portable build shows it, on any machine; tests/unit/kernels has the tests.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutations import Mutation, break_sources
from portable_kernels import build_portable

from interbert.kernels.cpu.native import SOURCES

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")
TESTS = [f"{Path(__file__).parents[1]}/unit/kernels/test_native{part}.py" for part in ("", "_library")]

WRONG = [
    Mutation("attention without tiles", "attention.cpp", "Tiles configured;"),
    Mutation("largest score of padding", "attention.cpp", "first(length - j), top,", "0xffff, top,"),
    Mutation("probability of padding", "attention.cpp", "first(length - j), exp", "0xffff, exp"),
    Mutation("attention's result too wide", "attention.cpp", "first(columns - j)", "0xffff"),
    Mutation("scale of what stays", "attention.cpp", "all.dropout.scale()", "1"),
    Mutation("scale of its gradient", "attention.cpp", "all.dropout.scale()", "1", 1),
    Mutation("gradient of the dropped", "attention.cpp", "kept(i, j), _mm512_loadu_ps(s", "-1, _mm512_loadu_ps(s"),
    Mutation("mean of the slopes", "attention.cpp", "(slope + j) - mean)", "(slope + j))"),
    Mutation("one mask for all sequences", "attention.cpp", "((start + i)", "(i"),
    Mutation("one mask for all heads", "attention.cpp", "all.heads + head)", "all.heads)"),
    Mutation("one mask along a row", "attention.cpp", "4096 + j / 16", "4096"),
    Mutation("no sums while they wait", "product.cpp", "(waits ? (s - high.begin) * wide.size() : 0)", "0"),
    Mutation("each part of the depth for itself", "product.cpp", "piece.begin > 0", "piece.begin > deep.begin"),
    Mutation("the same where A is the panel", "product.cpp", "piece.begin > 0", "piece.begin > deep.begin", 1),
    Mutation("no depth at all", "product.cpp", "std::max(1l, blocks(K))", "blocks(K)"),
    Mutation("whole lines where few columns are left", "product.cpp", "columns >= 32 && "),
    Mutation("whole lines at any place", "product.cpp", "% 64 == 0", "% 64 >= 0"),
    Mutation("as many threads as asked for", "product.cpp", "team = omp_get_num_threads()", "team = threads"),
    Mutation("stream read before it is packed", "product.cpp", "#pragma omp barrier"),
    Mutation("bias", "product.cpp", "_mm512_load_ps(block) + shift_left", "_mm512_load_ps(block)"),
    Mutation("bias on the right", "product.cpp", "16) + shift_right", "16)"),
    Mutation("one thread's sums", "rows.cpp", "t < parts.size()", "t < 1"),
    Mutation("loss of what is ignored", "rows.cpp", "if (target < 0) continue;"),
    Mutation("gradient of what is ignored", "rows.cpp", "target < 0 ? 0 : grad[i]", "grad[i]"),
    Mutation("the first of the largest", "rows.cpp", "&& std::find(row, row + target, row[target]) == row + target"),
    Mutation("largest logit of padding", "rows.cpp", "top = _mm512_mask_max_ps(top, mask,", "top = _mm512_max_ps("),
    Mutation("exponential of padding", "rows.cpp", "_mm512_mask_add_ps(sum, mask,", "_mm512_mask_add_ps(sum, -1,"),
    Mutation("squares of padding", "rows.cpp", "_mm512_maskz_sub_ps(mask, load", "_mm512_maskz_sub_ps(0xffff, load"),
    Mutation("eps", "rows.cpp", " + eps"),
    Mutation("one mask for all rows", "rows.cpp", "kept(i * groups + j / 16)", "kept(j / 16)"),
    Mutation("one mask for all gradients", "rows.cpp", "kept(i * groups + j / 16)", "kept(j / 16)", 1),
    Mutation("what surrounds a NaN", "vectors.h", "_mm512_set1_ps(-80), x)", "x, _mm512_set1_ps(-80))"),
    Mutation("exp", "vectors.h", "5.0000001201e-1f", "4.99e-1f"),
    Mutation("erf", "vectors.h", "0.254829592f", "0.25f"),
    Mutation("bits of eight, twice", "vectors.h", "2 * group + 2", "2 * group + 1"),
    Mutation("tiles left configured", "tiles.h", "before_[0] ? _tile_loadconfig(before_) : _tile_release();"),
    Mutation("someone else's tiles", "tiles.h", "before_[0] ? _tile_loadconfig(before_) :"),
    Mutation("sums of the block before", "tiles.h", "_tile_zero(3);"),
    Mutation("columns beyond the end", "tiles.h", "first32(columns - column)", "0xffffffffu"),
]  # fmt: skip
OVERRUNS = [
    Mutation("bias beyond the end", "product.cpp", "first(wide - 16)", "0xffff"),
    Mutation("rows beyond the end, written", "product.cpp", "std::min(i + BLOCK, rows)", "i + BLOCK"),
    Mutation("rows beyond the end, in place", "product.cpp", "32 * (block + 1) <= matrix.rows && "),
    Mutation("columns beyond the end, in place", "product.cpp", "&& 32 * deep.end <= matrix.columns"),
    Mutation("rows beyond the end, packed", "tiles.h", "if (i >= rows) return _mm512_setzero_si512();"),
    Mutation("memory that does not grow", "tiles.h", "if (count > size)", "if (!memory)"),
    Mutation("residual beyond the end", "rows.cpp", "load(residual + row + j, mask)", "load(residual + row + j)"),
    Mutation("result beyond the end", "rows.cpp", "load(bias + j, mask)), mask)", "load(bias + j, mask)), 0xffff)"),
    Mutation("logits beyond the end", "rows.cpp", "top, load(row + j, mask)", "top, load(row + j)"),
]  # fmt: skip


def complaint(library: Path, which: str = "portable", **environment: str) -> str | None:
    """What the tests say of a library; None when all is well."""
    command = [sys.executable, "-m", "pytest", "-x", "-s", "-k", which, "-p", "no:cacheprovider", *TESTS]
    variables = {**os.environ, "PORTABLE_LIBRARY": str(library), **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=600, check=False)
    assert done.returncode not in (2, 3, 4, 5), f"the tests did not run: {done.stdout}{done.stderr}"
    return None if done.returncode == 0 else f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


def sanitized() -> dict[str, str]:
    """Python itself is not built with them: their library comes first, and the leaks are not ours."""
    where = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    return {"LD_PRELOAD": where.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}


@pytest.mark.thorough
def test_clean_under_sanitizers(tmp_path):
    assert complaint(build_portable(tmp_path, SOURCES, SANITIZERS), **sanitized()) is None


@pytest.mark.thorough
@pytest.mark.parametrize("mutation", WRONG, ids=str)
def test_each_broken_kernel_is_found(mutation, tmp_path):
    break_sources(mutation, SOURCES, tmp_path / "sources")
    assert complaint(build_portable(tmp_path, tmp_path / "sources")) is not None


@pytest.mark.thorough
@pytest.mark.parametrize("mutation", OVERRUNS, ids=str)
def test_each_overrun_is_found(mutation, tmp_path):
    break_sources(mutation, SOURCES, tmp_path / "sources")
    library = build_portable(tmp_path, tmp_path / "sources", SANITIZERS)
    said = complaint(library, "portable and not attention and not around", **sanitized())
    assert said is not None and "ERROR: AddressSanitizer" in said
