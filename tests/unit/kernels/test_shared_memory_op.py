"""DeepSpeed's op is built once, and what a killed build left is in nobody's way."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deepspeed.ops.op_builder.builder import OpBuilder
from torch.utils import cpp_extension

from interbert.kernels.cpu import shared_memory_op
from interbert.kernels.cpu.shared_memory_op import build_folder, load_shared_memory_op


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """The folders of all compilations; DeepSpeed's own builder and torch's own lock, without the compiler."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setattr(OpBuilder, "_loaded_ops", {})
    monkeypatch.setattr(cpp_extension, "JIT_EXTENSION_VERSIONER", cpp_extension.ExtensionVersioner())
    builds = []

    def compile_it(build_directory, **_):
        assert os.path.exists(os.path.join(build_directory, "lock"))
        builds.append(build_directory)
        time.sleep(0.3)

    monkeypatch.setattr(cpp_extension, "_write_ninja_file_and_build_library", compile_it)
    monkeypatch.setattr(cpp_extension, "_import_module_from_library", lambda name, *_: f"module {name}")
    monkeypatch.setattr(shared_memory_op, "POLL", 0.02)
    return builds


def leave_lock(seconds_ago: float):
    lock = build_folder() / "lock"
    lock.touch()
    os.utime(lock, (time.time() - seconds_ago,) * 2)
    return lock


def in_time(load=load_shared_memory_op, seconds: float = 5) -> float:
    """Seconds that it took; a waiter that never ends does not keep the test."""
    began, thread = time.monotonic(), threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive()
    return time.monotonic() - began


def test_the_lock_of_a_killed_build_is_removed_and_deepspeed_finds_the_op_loaded(builds):
    lock = leave_lock(seconds_ago=1000)
    in_time()
    assert builds == [str(build_folder())] and not lock.exists()
    from deepspeed.comm.torch import build_shm_op

    assert build_shm_op() == "module deepspeed_shm_comm" and len(builds) == 1


def test_a_young_lock_may_be_of_a_build_that_is_not_seen(builds, monkeypatch):
    monkeypatch.setattr(shared_memory_op, "BUILD_SECONDS", 101.0)
    leave_lock(seconds_ago=100)
    assert in_time() >= 0.9 and len(builds) == 1


def test_a_builder_that_lives_is_waited_for_however_long_it_takes(builds):
    lock = build_folder() / "lock"
    script = (
        f"import os, time; os.open({str(lock)!r}, os.O_CREAT | os.O_EXCL); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as builder:
        try:
            builder.stdout.readline()
            os.utime(lock, (time.time() - 1000,) * 2)
            waiter = threading.Thread(target=load_shared_memory_op, daemon=True)
            waiter.start()
            waiter.join(0.5)
            assert waiter.is_alive() and lock.exists() and not builds
        finally:
            builder.kill()
    waiter.join(5)
    assert not waiter.is_alive() and len(builds) == 1


def test_ranks_that_come_at_once_load_one_after_another_and_one_builds(builds, monkeypatch):
    leave_lock(seconds_ago=1000)
    inside, most, real = [], [], OpBuilder.load

    def load(builder, verbose):
        inside.append(builder)
        time.sleep(0.1)
        most.append(len(inside))
        module = real(builder, verbose=verbose)
        inside.pop()
        return module

    monkeypatch.setattr(OpBuilder, "load", load)
    with ThreadPoolExecutor(3) as pool:
        for loading in [pool.submit(load_shared_memory_op) for _ in range(3)]:
            loading.result(timeout=5)
    assert most == [1, 1, 1] and len(builds) == 1


def test_the_interpreters_own_programs_build_it(monkeypatch):
    """Else a rank that came through ssh would take another ninja, and each would build it anew."""
    monkeypatch.setenv("PATH", "/usr/bin")
    with shared_memory_op.own_programs_first():
        first, *others = os.environ["PATH"].split(os.pathsep)
    assert first == str(Path(sys.executable).parent) and others == ["/usr/bin"]
    assert os.environ["PATH"] == "/usr/bin"
