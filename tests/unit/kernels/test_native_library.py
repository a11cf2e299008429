"""How the library of CPU kernels is made, loaded and called."""

import ctypes
import logging
import os
import re
import subprocess
import sys

import pytest
import torch

from interbert.kernels.compile import Unavailable
from interbert.kernels.cpu import native
from interbert.kernels.cpu.native_functions import FUNCTIONS
from interbert.kernels.linear import linear

DECLARED = re.compile(r'extern "C" void (\w+)\(([^)]*)\)')


@pytest.fixture
def fresh(monkeypatch):
    """Nothing is known of a library; afterwards, what was."""
    monkeypatch.setattr(native, "_found", native.cache(native._found.__wrapped__))


@pytest.fixture
def tiles_here(fresh, monkeypatch):
    """A processor with tile registers, as far as making the library goes."""
    monkeypatch.setattr(native, "require_tiles", lambda: None)


def test_the_table_is_what_the_sources_declare():
    text = "".join(path.read_text() for path in sorted(native.SOURCES.glob("*.cpp")))
    declared = {
        name: tuple(
            re.sub(r"const |\w+$", "", argument.strip()).replace(" ", "") for argument in arguments.split(",")
        )
        for name, arguments in DECLARED.findall(text)
    }
    assert text.count('extern "C"') == len(declared)
    assert {name: tuple(kind.rstrip("?") for kind in kinds) for name, kinds in FUNCTIONS.items()} == declared


BF16, OUT = torch.ones(2, 3, dtype=torch.bfloat16), torch.empty(3, dtype=torch.bfloat16)


def test_right_arguments_are_taken(kernels):
    native.call("column_sums", BF16, 2, 3, OUT)
    assert OUT.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((BF16, 2, 3), "takes 5 arguments, got 4"),
        ((BF16, 2, 3, OUT, 1), "takes 5 arguments, got 6"),
        ((BF16.float(), 2, 3, OUT), r"argument 0 is bf16\*, got a contiguous tensor of torch.float32"),
        ((BF16.t(), 2, 3, OUT), "argument 0 .* got a strided tensor"),
        ((BF16.to("meta"), 2, 3, OUT), "argument 0 .* on meta"),
        ((None, 2, 3, OUT), r"argument 0 is bf16\*, got None"),
        ((2, BF16, 3, OUT), r"argument 0 is bf16\*, got 2"),
        ((BF16, 2, OUT, 3), "argument 2 is long, got a contiguous tensor"),
        ((BF16, 2.0, 3, OUT), "argument 1 is long, got 2.0"),
    ],
)
def test_wrong_arguments_are_an_error_not_a_crash(arguments, complaint, monkeypatch):
    monkeypatch.setattr(native, "library", lambda: pytest.fail("called"))
    with pytest.raises(TypeError, match=complaint):
        native.call("column_sums", *arguments)


def test_the_portable_build_is_called_by_declared_types(portable_library):
    """What ctypes itself refuses."""
    with pytest.raises(ctypes.ArgumentError):
        portable_library.column_sums(BF16.data_ptr(), 2.5, 3, OUT.data_ptr(), 1)
    with pytest.raises(TypeError):
        portable_library.column_sums(BF16.data_ptr(), 2, 3)


def test_the_portable_build_leaves_the_tiles_as_it_found_them(portable_library, monkeypatch):
    monkeypatch.setattr(native, "library", lambda: portable_library)
    portable_library.portable_tile_config.restype = ctypes.c_void_p
    where = portable_library.portable_tile_config()
    x, w, b = (torch.ones(*shape).bfloat16() for shape in ((3, 4), (5, 4), (5,)))
    someone_elses = bytes([1, 0, *bytes(14), *[32, 0] * 8, *bytes(16), *[7] * 8, *bytes(8)])
    for before in (bytes(64), someone_elses):
        ctypes.memmove(where, before, 64)
        linear(x, w, b)
        assert ctypes.string_at(where, 64) == before
    ctypes.memset(where, 0, 64)


def test_they_are_compiled_and_loaded_where_the_processor_has_tiles(tiles_here, caplog):
    with caplog.at_level(logging.INFO):
        assert native.library() is native.library() is not None
    assert [r.message for r in caplog.records if "native CPU kernels" in r.message] == [
        "native CPU kernels: bf16 on tile registers"
    ]


def test_they_can_be_switched_off(tiles_here, monkeypatch, caplog):
    monkeypatch.setenv("INTERBERT_NATIVE", "0")
    with caplog.at_level(logging.INFO):
        assert native.library() is None
    assert "INTERBERT_NATIVE=0" in caplog.text


def test_a_processor_without_them_is_named_once(fresh, monkeypatch, caplog):
    monkeypatch.setattr(native, "processor_flags", lambda: native.NEEDED - {"amx_bf16", "avx512bw"})
    with caplog.at_level(logging.INFO):
        assert native.library() is None and native.library() is None
    lines = [r.message for r in caplog.records if "native CPU kernels" in r.message]
    assert lines == ["native CPU kernels: not used (the processor lacks amx_bf16, avx512bw)"]
    assert not native.serves(BF16)


def test_only_bf16_on_a_cpu_is_served(kernels):
    assert native.serves(BF16, None, OUT)
    assert not native.serves(BF16, OUT.float()) and not native.serves(BF16.to("meta"))


def test_without_a_compiler_torch_serves_and_the_log_says_why(tiles_here, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with caplog.at_level(logging.INFO):
        assert native.library() is None
    assert "no-such-compiler" in caplog.text


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(tiles_here, monkeypatch, caplog, tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho the disk is full >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with caplog.at_level(logging.INFO):
        assert native.library() is None
    assert "the disk is full" in caplog.text
    left = [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == [".lock"], "what keeps other processes from compiling the same, empty"


def test_require_tiles_agrees_with_the_processor():
    if native.processor_flags() >= native.NEEDED:
        native.require_tiles()
    else:
        with pytest.raises(Unavailable, match="the processor lacks"):
            native.require_tiles()


@pytest.mark.slow
def test_three_threads_of_four(kernels, portable_file):
    """Only the environment makes OpenMP give so many and no more."""
    code = f"""
from pathlib import Path
import torch
from interbert.kernels.cpu import native
from interbert.kernels.linear import linear
if {kernels == "portable"}:
    library = native.load(Path({str(portable_file)!r}))
    native.library = lambda: library
torch.set_num_threads(4)
x, w = torch.randn(300, 96).bfloat16(), torch.randn(512, 96).bfloat16().requires_grad_()
y = linear(x, w, torch.zeros(512).bfloat16())
y.sum().backward()
print(float((y.float() - x.float() @ w.float().t()).abs().max()))
print(float((w.grad.float() - x.float().sum(0)).abs().max()))
"""
    environment = {**os.environ, "OMP_THREAD_LIMIT": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    errors = [float(line) for line in done.stdout.split()]
    assert len(errors) == 2 and max(errors) < 0.6, done.stdout
