"""The kernels' sources under sanitizers: the fused ones in several schedules of their threads, those of CPUs in their
portable build."""

import native_harness
import numpy as np
import pytest
import torch
from harness import SCHEDULES, compile_check, compile_trials, failure_of, failure_of_trial
from portable_kernels import build_portable

from interbert.kernels.attend.primitive_trials import TRIALS, trial_input
from interbert.kernels.cpu.native import SOURCES

LENGTHS = {
    16: [16, 1, 0, 5, 15, 0],
    32: [32, 17, 3, 0, 31, 16],
    64: [60, 33, 0, 9, 64, 1],
    144: [140, 1, 97, 0, 16, 17, 60, 2],
}


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address", pytest.param("thread", marks=pytest.mark.thorough)])
def test_clean_at_one_width(sanitizer, tmp_path):
    program = compile_check(tmp_path, sanitizer, 64, [16, 32, 64])
    for schedule in ("random", "greedy"):
        for longest in (16, 32, 64):
            assert failure_of(program, schedule, longest, LENGTHS[longest]) is None


@pytest.mark.thorough
@pytest.mark.parametrize("sanitizer", ["none", "address", "thread"])
@pytest.mark.parametrize(("width", "longest"), [(32, 144), (64, 144), (64, 160), (96, 128), (128, 96)])
@pytest.mark.parametrize("arch", [80, 90])
def test_clean_everywhere(sanitizer, width, longest, arch, tmp_path):
    program = compile_check(tmp_path, sanitizer, width, [16, 32, 48, 64, longest], arch=arch)
    for schedule in SCHEDULES:
        for lengths in LENGTHS.values():
            lengths = [min(length, longest) for length in lengths]
            assert failure_of(program, schedule, 7, lengths) is None
        assert failure_of(program, schedule, 8, [longest, 47, 48, 33, 3]) is None


@pytest.mark.thorough
@pytest.mark.parametrize("sanitizer", ["none", "address", "thread"])
@pytest.mark.parametrize("arch", [80, 90])
def test_trials_of_operations_are_clean(sanitizer, arch, tmp_path):
    program = compile_trials(tmp_path, sanitizer, arch)
    for schedule in SCHEDULES:
        for number, (name, _, _, expected) in enumerate(TRIALS):
            exact = expected(trial_input(torch.float16)).dtype != np.float32
            for seed in range(5) if exact else ():
                assert failure_of_trial(program, number, schedule, seed) is None, (name, schedule, seed)


@pytest.mark.thorough
def test_kernels_of_cpus_are_clean(tmp_path):
    library = build_portable(tmp_path, SOURCES, native_harness.SANITIZERS)
    assert native_harness.complaint(library, **native_harness.sanitized()) is None
