"""The operations on rows under sanitizers and schedules, broken in one place each, and as nvcc compiles them."""

import re

import pytest
from broken_rows import BARRIERS, OVERRUNS, WRONG
from mutations import break_sources
from rows_harness import compile_rows, failure_of

from interbert.kernels.attend.fused_build import SOURCES, device_command, nvcc
from interbert.kernels.compile import Unavailable, run
from interbert.kernels.rows.table import ARCHS

FILES = ("rows.h", "row_norm.h", "row_gelu.h", "row_losses.h")
KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)'"
    r".*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
    r".*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def test_every_barrier_is_listed():
    for file in FILES:
        listed = sum(mutation.file == file for mutation, _ in BARRIERS)
        assert (SOURCES / file).read_text().count("sync_block();") == listed, file


@pytest.mark.slow
def test_clean_under_sanitizers(tmp_path):
    assert failure_of(compile_rows(tmp_path, watched=True), [], watched=True) is None


@pytest.mark.thorough
@pytest.mark.parametrize(("mutation", "trials"), BARRIERS + WRONG, ids=str)
def test_a_broken_operation_gives_other_numbers(mutation, trials, tmp_path):
    sources = break_sources(mutation, SOURCES, tmp_path / "sources")
    assert failure_of(compile_rows(tmp_path, sources), trials)


@pytest.mark.thorough
@pytest.mark.parametrize(("mutation", "trials"), OVERRUNS, ids=str)
def test_what_goes_too_far_is_found(mutation, trials, tmp_path):
    sources = break_sources(mutation, SOURCES, tmp_path / "sources")
    said = failure_of(compile_rows(tmp_path, sources, watched=True), trials, watched=True)
    assert said is not None and "ERROR: AddressSanitizer" in said


@pytest.mark.thorough
@pytest.mark.parametrize("arch", ARCHS)
def test_every_architecture_holds_all_in_registers(arch, tmp_path):
    try:
        compiler = nvcc()
    except Unavailable as reason:
        pytest.skip(str(reason))
    report = run(device_command(compiler, "rows.cu", [], arch, tmp_path / "rows.cubin"))
    found = [match.groupdict() for match in KERNEL.finditer(report)]
    # Norms of two types, four widths, dropout before or after, both ways; GELU; two losses; sums of columns.
    assert len(found) == 2 * (4 * 2 * 2 + 2 + 4 + 1), report
    for kernel in found:
        assert kernel["stack"] == kernel["stores"] == kernel["loads"] == "0", kernel
