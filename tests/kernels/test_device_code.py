"""What nvcc makes of the kernels: every one compiles, with no spills and no local memory."""

import re

import pytest

from interbert.kernels.attend.fused_build import device_command, nvcc, resources
from interbert.kernels.attend.fused_table import LONGEST, SHARED_KB, buckets
from interbert.kernels.attend.primitive_trials import TRIALS
from interbert.kernels.compile import Unavailable, run

KERNEL = re.compile(
    r"Compiling entry function '\w*?attention_(?P<kind>forward|backward)(?P<group>_group)?I\w*?Float16"
    r"Li(?P<width>\d+)ELi(?P<bucket>\d+)"
    r".*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
    r".*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def needs_nvcc():
    try:
        nvcc()
    except Unavailable as reason:
        pytest.skip(str(reason))


def warps_of(kind, width, bucket, by_group):
    """Of a block: backward two threads a row, or four warps for each 64; forward those of one block or two."""
    if by_group:
        return 16 if bucket <= 48 else 12 if bucket <= 64 else -(-bucket // 64) * 4
    if kind == "backward":
        return max(bucket, 64) * 2 // 32
    return 8 if width > 64 else 16


def check(width, arch, cubin):
    report = resources(width, arch, cubin)
    found = [match.groupdict() for match in KERNEL.finditer(report)]
    expected = sum(2 * len(buckets(width, arch, backward)) for backward in (False, True))
    assert len(found) == expected, report
    for kernel in found:
        assert kernel["stack"] == kernel["stores"] == kernel["loads"] == "0", kernel
        warps = warps_of(kernel["kind"], width, int(kernel["bucket"]), kernel["group"])
        assert -(-warps // 4) * 32 * int(kernel["registers"]) <= 16384, kernel  # dealt out to four parts


@pytest.mark.slow
def test_base_width_fits_hopper(tmp_path):
    needs_nvcc()
    check(64, 90, tmp_path / "kernels.cubin")


@pytest.mark.thorough
@pytest.mark.parametrize("arch", sorted(SHARED_KB))
@pytest.mark.parametrize("width", sorted(LONGEST))
def test_every_width_fits_every_architecture(width, arch, tmp_path):
    needs_nvcc()
    check(width, arch, tmp_path / "kernels.cubin")


@pytest.mark.thorough
@pytest.mark.parametrize("arch", [80, 90, 100, 120])
def test_trials_of_operations_fit(arch, tmp_path):
    """And say how many barriers a block of two parts takes: one each, and its own."""
    needs_nvcc()
    report = run(device_command(nvcc(), "primitives_check.cu", [], arch, tmp_path / "trials.cubin"))
    spilled = re.findall(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report
    )
    assert len(spilled) == len(TRIALS) and set(spilled) == {("0", "0", "0")}, report
    assert re.search(r"entry function '\w*units\w*'.*?, used 3 barriers", report, re.DOTALL), report
