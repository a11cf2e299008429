"""The operations of csrc/fused/primitives.h, as the emulator does them; the benchmark tries them on a GPU."""

import torch

from interbert.kernels.attend import primitive_trials


def test_each_operation_does_what_it_should():
    assert primitive_trials.failures(torch.device("cpu")) == {}


def test_a_wrong_expectation_is_noticed(monkeypatch):
    name, words, dtype, expected = primitive_trials.TRIALS[3]
    broken = (name, words, dtype, lambda given: expected(given) + 1)
    monkeypatch.setattr(primitive_trials, "TRIALS", (*primitive_trials.TRIALS[:3], broken))
    assert list(primitive_trials.failures(torch.device("cpu"))) == ["mma fp16"]
