"""How fast the line says that it goes."""

import threading

import pytest

from interbert.search.engine.jobs import Job
from interbert.search.engine.line import Line
from interbert.search.requests import Busy


def job(tokens):
    return Job([], [], lambda _: None, lambda _: None, None, tokens)


def test_its_speed_is_tokens_over_seconds_however_small_some_micro_batches_are():
    line = Line(10_000, 2.0)
    for _ in range(50):
        line.ran(10, 0.01)  # a few words
        line.ran(4000, 0.2)  # and their pairs
    assert line.speed == pytest.approx(4010 / 0.21, rel=0.02)


def test_the_first_micro_batch_in_which_much_is_read_makes_nobody_leave():
    line = Line(10_000, 2.0)
    line.ran(10, 5.0)
    line.join(job(4000))
    line.join(job(1000))
    line.ran(4000, 0.2)
    assert line.speed == pytest.approx(20_000)
    line.join(job(1000))
    line.ran(10, 5.0)  # slow in earnest
    with pytest.raises(Busy):
        line.join(job(1000))


def test_a_full_line_refuses_before_a_request_is_looked_at():
    line = Line(1000, 2.0)
    line.must_have_room()
    line.join(job(1000))
    with pytest.raises(Busy):
        line.must_have_room()
    slow = Line(10_000, 2.0)
    slow.ran(1, 1.0)
    slow.ran(100, 1.0)
    slow.join(job(250))
    with pytest.raises(Busy) as refused:
        slow.must_have_room()
    assert refused.value.retry_after == pytest.approx(2.5) and slow.refused == 1


def test_who_waits_rests_once_where_nothing_comes_for_a_while(monkeypatch):
    monkeypatch.setattr("interbert.search.engine.line.REST", 0.01)
    line, rested = Line(1000, 2.0), []
    came = job(10)

    def rest():
        rested.append(len(line))
        threading.Timer(0.1, line.join, [came]).start()

    assert line.wait(rest) == [came]
    assert rested == [0]  # and not again in the time that is left
    assert line.wait(rest) == [came] and rested == [0]  # nor where something waits
