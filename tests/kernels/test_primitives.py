"""The operations of csrc/fused/primitives.h, as the emulator does them; the benchmark tries them on a GPU."""

import ctypes

import torch
from harness import SCHEDULES

from interbert.kernels.attend import primitive_trials
from interbert.kernels.attend.fused_build import primitives


def test_each_operation_does_what_it_should():
    choose = primitives(None).interbert_emulator_schedule
    try:
        for schedule, number in SCHEDULES.items():
            choose(number, ctypes.c_uint64(5))
            assert primitive_trials.failures(torch.device("cpu")) == {}, schedule
    finally:
        choose(SCHEDULES["in order"], ctypes.c_uint64(0))


def test_a_wrong_expectation_is_noticed(monkeypatch):
    name, words, dtype, expected = primitive_trials.TRIALS[3]
    broken = (name, words, dtype, lambda given: expected(given) + 1)
    monkeypatch.setattr(primitive_trials, "TRIALS", (*primitive_trials.TRIALS[:3], broken))
    assert list(primitive_trials.failures(torch.device("cpu"))) == ["mma fp16"]
