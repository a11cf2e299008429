"""What the proof is worth: each barrier, wait and mask taken out of the kernels in turn must make it fail."""

import pytest
from harness import compile_check, failure_of
from mutations import Mutation, break_sources

from interbert.kernels.attend.fused_build import SOURCES

WAITS = [
    Mutation("forward waits for its copies", "forward.h", "wait_copies();"),
    Mutation("forward barrier of a stage", "forward.h", "sync_block();"),
    Mutation("forward queries read before overwritten", "forward.h", "sync_warp();", number=0),
    Mutation("forward result written before read", "forward.h", "sync_warp();", number=1),
    Mutation("backward waits for its copies", "backward.h", "wait_copies();"),
    Mutation("backward barrier of P", "backward.h", "sync_block();", number=0),
    Mutation("backward barrier after P", "backward.h", "sync_block();", number=1),
    Mutation("backward barrier of dS", "backward.h", "sync_block();", number=2),
    Mutation("backward barrier before results", "backward.h", "sync_block();", number=3),
    Mutation("backward barrier of a stage", "backward.h", "sync_block();", number=4),
    Mutation("backward result written before read", "backward.h", "sync_warp();"),
]
MASKS = [
    Mutation("keys beyond the end", "forward.h", "if (8 * n + i % 2 >= left) s[n][i] = -INFINITY;"),
    Mutation("sums of queries beyond the end", "forward.h", "if (query < queries) p.logsum", "p.logsum"),
    Mutation("keys beyond the end, backward", "backward.h", "8 * n + i % 2 < left ?", "true ?"),
    Mutation("sums beyond the end, backward", "backward.h", "query < item.length ? p.logsum", "true ? p.logsum"),
    Mutation("dropped in the values' gradient", "backward.h", "key_side<true>", "key_side<false>"),
    Mutation("dropped in the scores' gradient", "backward.h", "kept ? p * dp[j][i] : 0", "p * dp[j][i]"),
    Mutation("sign of what is dropped", "backward.h", "fabsf(p[0])", "p[0]"),
    Mutation("dropped going forward", "forward.h", "if (dropout.threshold) drop(", "if (false) drop("),
    Mutation("zeros below a tile's rows", "problem.h", "chunk * 16, real);", "chunk * 16, true);"),
    Mutation("rows written to the end", "problem.h", "if (row < length) write_16", "write_16"),
    Mutation("zeros behind the last row", "problem.h", "fill_rows(p.out + used", "if (0) fill_rows(p.out + used"),
    Mutation("items to the end", "problem.h", "if (number >= p.sequences * p.heads * PARTS) return item;"),
]  # fmt: skip
LENGTHS = [[64, 60, 33, 0, 9, 49], [16, 1, 0, 5, 15, 3, 2]]


def found(mutation: Mutation, tmp_path) -> bool:
    break_sources(mutation, SOURCES, tmp_path / "sources")
    program = compile_check(tmp_path, "thread", 64, [16, 64], tmp_path / "sources")
    return any(failure_of(program, "greedy", 3, lengths) for lengths in LENGTHS)


def test_every_barrier_and_wait_is_listed():
    for file in ("forward.h", "backward.h"):
        text = (SOURCES / file).read_text()
        for what in ("wait_copies();", "sync_block();", "sync_warp();"):
            listed = sum(m.file == file and m.before == what for m in WAITS)
            assert text.count(what) == listed, f"{file}: {what}"


@pytest.mark.parametrize("mutation", [WAITS[1], WAITS[6], MASKS[2]], ids=str)
def test_a_broken_kernel_is_found(mutation, tmp_path):
    assert found(mutation, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("mutation", WAITS + MASKS, ids=str)
def test_each_broken_kernel_is_found(mutation, tmp_path):
    assert found(mutation, tmp_path)
