"""Figures of a window, and steps whose loss stands out."""

from contextlib import nullcontext
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from interbert.config import TrainSettings
from interbert.ranks.distributed import Ranks
from interbert.recipe import load_recipe
from interbert.train import loop
from interbert.train.checkpoints.checkpoint import CheckpointError
from interbert.train.folder.run_folder import RunFolder
from interbert.train.folder.watchdog import Watchdog
from interbert.train.monitor.window import LEAST, Window
from interbert.train.monitor.work_clock import WorkClock
from interbert.train.task import Term

ONE = Ranks(0, 1, 0, torch.device("cpu"), "test")
COUNTS = {"pairs": 4.0, "tokens": 2.0, "regions": 2.0, "samples": 4.0, "all_tokens": 80.0}


class Time:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self):
        return self.now

    def passes(self, seconds):
        self.now += seconds


TERMS = {"itm": Term(1.0, "pairs"), "msm": Term(0.5, "tokens")}


def fed(losses):
    window = Window(TERMS, 100.0, WorkClock())
    for step, loss in enumerate(losses, start=1):
        window.add(step, f"micro-batch {step}", torch.tensor([[4 * loss, 3.0], [2 * loss, 1.0]]), COUNTS)
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


def test_speed_and_remaining_time_are_of_training_alone():
    time = Time()
    clock = WorkClock(time)
    window = Window(TERMS, 100.0, clock)

    def train(steps):
        for step in range(steps):
            with window.waiting():
                time.passes(0.5)
            time.passes(1.5)
            window.add(step, "", torch.ones(2, 2), COUNTS)

    train(3)
    with clock.stopped():  # a validation within the window
        time.passes(600.0)
    train(1)
    figures = window.close(ONE)
    assert figures["samples_per_second"] == 2.0 and figures["tokens_per_second"] == 40.0
    assert figures["data_wait_share"] == 0.25
    with clock.stopped():  # and a save behind it
        time.passes(3600.0)
    train(2)
    figures = window.close(ONE)
    assert figures["samples_per_second"] == 2.0 and figures["data_wait_share"] == 0.25
    assert window.remaining(100) == 200.0


def test_the_loop_stops_the_clock_for_what_is_not_training(tmp_path, monkeypatch):
    time = Time()

    def takes_ten_minutes(result):
        return lambda *_: time.passes(600.0) or result

    judge = SimpleNamespace(figure="loss", larger=False)
    judge.figures, judge.picture = takes_ten_minutes({"loss": 1.0}), takes_ten_minutes(None)
    monkeypatch.setattr(loop, "probe_loss", takes_ten_minutes(float("nan")))
    run = loop.Training(**dict.fromkeys(field.name for field in fields(loop.Training)))
    run.settings, run.progress, run.judge = load_recipe("scenes"), loop.Progress(best_figure=0.0), judge
    run.engine, run.clock = SimpleNamespace(averaged=nullcontext), WorkClock(time)
    run.watchdog = Watchdog(RunFolder(tmp_path), 0, TrainSettings())
    loop.validate(run)
    loop.draw(run)
    with pytest.raises(CheckpointError):
        loop.save(run)
    run.watchdog.close()
    assert time.now == 1000.0 + 3 * 600.0 and run.clock.seconds() == 0.0
