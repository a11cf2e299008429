"""Freed memory is used again: in a process of its own, for the setting is for good."""

import platform
import subprocess
import sys

import pytest

from interbert.kernels.cpu import host_memory

CODE = f"""
import ctypes, resource, runpy
module = runpy.run_path({host_memory.__file__!r})
if REUSE:
    assert module["reuse_freed_memory"]()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(reuse: bool) -> int:
    code = CODE.replace("REUSE", str(reuse))
    return int(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_a_freed_block_is_not_mapped_again():
    assert page_faults(reuse=True) * 5 < page_faults(reuse=False)


def test_elsewhere_nothing_is_promised(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert host_memory.reuse_freed_memory() is False
