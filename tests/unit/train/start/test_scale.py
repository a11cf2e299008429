"""The estimate of memory, wire and efficiency that a dry run prints."""

import pytest

from interbert.train.start.scale import Machine, describe_scale, estimate, state_bytes, wire_bytes

N = 1_000_000


def test_state_is_shared_as_the_stages_say():
    assert [state_bytes(stage, N, "bf16", 4) for stage in range(4)] == [20e6, 7e6, 5.5e6, 4e6]
    assert [state_bytes(stage, N, "fp32", 4) for stage in range(4)] == [20e6, 10e6, 7e6, 4e6]
    assert all(state_bytes(stage, N, "bf16", 1) == (16e6 if stage else 20e6) for stage in range(4))


def test_averages_are_shared_as_the_optimizers_numbers():
    assert [state_bytes(s, N, "bf16", 4, averages=True) for s in range(4)] == [24e6, 8e6, 6.5e6, 5e6]
    machine = Machine(4, "cuda")
    with_averages, without = (estimate(1, N, "fp32", 1, 1e12, machine, a) for a in (True, False))
    assert with_averages.state_bytes - without.state_bytes == 1e6


def test_wire_counts_what_each_stage_sends():
    once = 2e6 * 3 / 4
    assert wire_bytes(0, N, "bf16", 4, 3) == 2 * once
    assert wire_bytes(1, N, "bf16", 4, 3) == 3 * once
    assert wire_bytes(2, N, "bf16", 4, 3) == 7 * once
    assert wire_bytes(3, N, "bf16", 4, 3) == 6 * once
    assert wire_bytes(3, N, "bf16", 4, 3, "gloo") == 9 * once
    assert wire_bytes(3, 2 * 10**9, "bf16", 4, 3) == 9 * 4e9 * 3 / 4
    assert wire_bytes(3, N, "bf16", 1, 1) == 0


def test_what_hides_behind_the_backward_pass_costs_nothing():
    fast, slow = (Machine(16, "cuda", 2, 100.0, gigabytes) for gigabytes in (50.0, 0.05))
    assert estimate(0, N, "bf16", 1, 1e12, fast).efficiency == 1
    found = estimate(0, N, "bf16", 1, 1e12, slow)
    assert found.wire_seconds == pytest.approx(2 * 2e6 * 15 / 16 / 0.05e9)
    assert found.efficiency == pytest.approx(0.01 / (0.01 + found.wire_seconds - 2 / 300))


def test_one_node_has_no_wire():
    assert estimate(3, N, "bf16", 1, 1e12, Machine(8, "cuda", 1, 100.0, 1.0)).wire_seconds == 0


def test_every_stage_has_a_line():
    lines = describe_scale(N, "bf16", 1, 1e12, Machine(16, "cuda", 2, 100.0, 50.0))
    assert "16 ranks on 2 nodes" in lines[0] and len(lines) == 6
