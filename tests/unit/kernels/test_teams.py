"""What OpenMP keeps for a thread is given back: in a process of its own, whose threads can be counted."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from interbert.kernels.cpu import teams

CODE = """
import os, threading, time
import torch
from interbert.kernels.cpu import teams

torch.set_num_threads(3)
x = torch.rand(2000, 1000)

def settled(expected):
    end = time.monotonic() + 20  # a thread that has ended may be listed for a moment
    while threads() != expected and time.monotonic() < end:
        time.sleep(0.01)
    return threads()

def threads():
    return len(os.listdir("/proc/self/task"))

def sums():
    return x.softmax(-1).sum().item()

before, first = threads(), sums()
print(threads() - before)
teams.give_back()
print(settled(before) - before)
teams.give_back()  # nothing is left to be given
assert sums() == first
print(threads() - before)
other = threading.Thread(target=teams.give_back)
other.start()
other.join()
print(settled(before + 2) - before)
"""


@pytest.mark.skipif(teams._pause() is None, reason="another OpenMP than GNU's")
def test_a_team_ends_for_the_thread_that_gives_it_back_and_is_there_again_when_it_computes():
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    kept, given_back, anew, after_another_gave = map(int, ran.stdout.split())
    assert (kept, given_back, anew, after_another_gave) == (2, 0, 2, 2)


@pytest.mark.parametrize(
    "symbols",
    [{"omp_pause_resource_all": None, "__kmpc_fork_call": None}, {}],
    ids=["LLVM's", "none, or an old one"],
)
def test_with_another_openmp_nothing_is_done(monkeypatch, symbols):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(**symbols))
    assert teams._pause.__wrapped__() is None


def test_without_libraries_to_open_nothing_is_done(monkeypatch):
    def refuses(_):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", refuses)
    assert teams._pause.__wrapped__() is None
