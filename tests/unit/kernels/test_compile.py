"""One process of a host compiles, the others wait for it. (Locks of one process's threads exclude each other too.)"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from interbert.kernels import compile as compile_
from interbert.kernels.compile import Unavailable, build, turn


def commands(count, then):
    """A compiler that takes its time, counts its runs in a file and then does what is said."""
    code = f"import sys, time; open({str(count)!r}, 'a').write('x'); time.sleep(0.3); {then}"
    return [[sys.executable, "-S", "-c", code, "{folder}/library.so"]]


MAKES = "open(sys.argv[1], 'w').write('library')"
FAILS = "sys.exit('no such header')"


def outcome(target, made_by):
    try:
        build(target, made_by)
    except Unavailable as reason:
        return str(reason)
    return target.read_text()


def together(target, made_by):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda _: outcome(target, made_by), range(4)))


def test_one_compiles_and_the_others_wait(tmp_path):
    found = together(tmp_path / "cache" / "a.so", commands(tmp_path / "count", MAKES))
    assert found == ["library"] * 4 and (tmp_path / "count").read_text() == "x"


def test_those_who_wait_hear_why_it_failed_and_later_ones_try_again(tmp_path):
    target = tmp_path / "a.so"
    found = together(target, commands(tmp_path / "count", FAILS))
    assert all("no such header" in reason for reason in found) and (tmp_path / "count").read_text() == "x"
    assert outcome(target, commands(tmp_path / "count", MAKES)) == "library"


def test_a_lock_ends_with_its_process(tmp_path):
    target = tmp_path / "a.so"
    with turn(target) as (note, _):
        path = note.name
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-S", "-c", hold, path], stdout=subprocess.PIPE)
    holder.stdout.readline()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(outcome, target, commands(tmp_path / "count", MAKES))
        time.sleep(0.3)
        assert not waiting.done() and not (tmp_path / "count").exists()
        holder.kill()
        holder.wait()
        assert waiting.result() == "library"


def test_nobody_waits_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_, "LONGEST_BUILD", 0.2)
    target = tmp_path / "a.so"
    with turn(target):
        assert outcome(target, commands(tmp_path / "count", MAKES)) == "library"


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError("No locks available")

    monkeypatch.setattr(compile_.fcntl, "flock", unknown)
    assert outcome(tmp_path / "a.so", commands(tmp_path / "count", MAKES)) == "library"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(compile_, "LONGEST_BUILD", 30.0)
