"""Figures of a window, and steps whose loss stands out."""

import torch

from interbert.train.distributed import Ranks
from interbert.train.window import LEAST, Window

ONE = Ranks(0, 1, 0, torch.device("cpu"), "test")
COUNTS = {"pairs": 4.0, "tokens": 2.0, "regions": 2.0, "samples": 4.0, "all_tokens": 80.0}


def fed(losses):
    window = Window({"itm": 1.0, "msm": 0.5}, 100.0)
    for step, loss in enumerate(losses, start=1):
        window.add(step, f"micro-batch {step}", torch.tensor([[4 * loss, 3.0], [2 * loss, 1.0]]), COUNTS, 0.0)
    return window


def test_means_are_over_the_whole_window():
    figures = fed([1.0, 3.0]).close(ONE)
    assert figures["loss/itm"] == 2.0 and figures["loss"] == 3.0 and figures["itm/accuracy"] == 0.75
    assert figures["packing_efficiency"] == 0.8


def test_a_spike_is_named_with_what_it_read():
    usual = [1.0 + 0.01 * (i % 5) for i in range(LEAST)]
    window = fed([*usual, 1.03, 4.0, float("inf"), 1.0])
    window.close(ONE)
    assert [(s.step, s.read) for s in window.spikes] == [
        (LEAST + 2, f"micro-batch {LEAST + 2}"),
        (LEAST + 3, f"micro-batch {LEAST + 3}"),
    ]
    assert window.spikes[0].loss == 6.0 and 1.5 <= window.spikes[0].usual <= 1.6


def test_a_beginning_has_no_spikes():
    window = fed([1.0, 9.0, 1.0])
    window.close(ONE)
    assert window.spikes == []
