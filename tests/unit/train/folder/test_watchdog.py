"""A rank that stands still is ended, also by a disk that does; one that was suspended is not."""

import threading
import time

import pytest

from interbert.config import TrainSettings
from interbert.files import read_json
from interbert.train.folder import watchdog
from interbert.train.folder.heartbeats import Heartbeats
from interbert.train.folder.run_folder import RunFolder
from interbert.train.folder.watchdog import Watchdog


@pytest.fixture
def exits(monkeypatch):
    """What the process would have ended with, and when."""
    seen, ended = [], threading.Event()

    def leave(code):
        seen.append(code)
        ended.set()
        time.sleep(1000)  # the thread of a process that is gone does nothing more

    monkeypatch.setattr(watchdog.os, "_exit", leave)
    monkeypatch.setattr(watchdog, "EVERY", 0.05)
    return seen, ended


def start(tmp_path, patience=0.5) -> Watchdog:
    settings = TrainSettings(patience=patience, save_patience=patience)
    found = Watchdog(RunFolder(tmp_path), 0, settings)
    for step in (1, 2, 3):
        found.step(step)
    return found


def test_standing_still_is_told_and_ended(tmp_path, exits):
    seen, ended = exits
    start(tmp_path)
    assert ended.wait(20) and seen == [1]
    status = read_json(tmp_path / "status.json")
    assert status["state"] == "failed" and "rank 0 hangs" in status["reason"] and "'step'" in status["reason"]
    assert "longest unheard first: rank 0" in status["reason"] and status["again"] == "elsewhere"
    assert "test_watchdog" in (tmp_path / "hang_rank0.txt").read_text()


def test_a_disk_that_hangs_does_not_keep_it(tmp_path, exits, monkeypatch):
    seen, ended = exits
    monkeypatch.setattr(Heartbeats, "beat", lambda *what: time.sleep(1000))
    monkeypatch.setattr(RunFolder, "write_failure", lambda *what: time.sleep(1000))
    monkeypatch.setattr(watchdog, "TELLING", 0.2)
    start(tmp_path)
    assert ended.wait(10) and seen == [1]


def test_nobody_who_reads_does_not_keep_it(tmp_path, exits, monkeypatch):
    seen, ended = exits

    class Broken:
        def write(self, text):
            raise BrokenPipeError

        flush = write

    monkeypatch.setattr(watchdog.sys, "stderr", Broken())
    start(tmp_path)
    assert ended.wait(10) and seen == [1]
    assert read_json(tmp_path / "status.json")["state"] == "failed"


def test_what_moves_is_left_alone(tmp_path, exits):
    seen, _ = exits
    moving = start(tmp_path)
    for step in range(4, 12):
        time.sleep(0.15)
        moving.step(step)
    with moving.phase("save"):
        time.sleep(0.3)
    assert seen == []
    moving.close()


def test_time_in_which_it_was_suspended_does_not_count(tmp_path, exits, monkeypatch):
    seen, _ = exits
    monkeypatch.setattr(watchdog, "SUSPENDED", 0.0)  # as if each look came late
    suspended = start(tmp_path)
    time.sleep(1.5)
    assert seen == []
    suspended.close()
