"""What the tests of our kernels are worth: sources that are broken in one place each must make them fail."""

from pathlib import Path

import broken_groups
import pytest
from broken_fused import MASKS, WAITS
from broken_native import OVERRUNS, WRONG
from broken_stages import MEETINGS, RULES
from harness import SCHEDULES, compile_check, compile_trials, failure_of, failure_of_trial
from mutations import Mutation, break_sources
from native_harness import SANITIZERS, complaint, sanitized
from portable_kernels import build_portable

from interbert.kernels.attend.fused_build import SOURCES as FUSED
from interbert.kernels.attend.primitive_trials import TRIALS
from interbert.kernels.cpu.native import SOURCES as NATIVE

STAGES = [
    number
    for number, trial in enumerate(TRIALS)
    if trial[0].startswith(("bands", "units", "phases", "octets"))
]
LENGTHS = [[96, 60, 33, 0, 9, 49, 50, 3, 17, 64, 34, 20, 48], [16, 1, 0, 5, 15, 3, 2]]

GROUPED = [[64, 60, 33, 0, 9, 49, 17], [48, 33, 40, 5, 0, 47], [140, 97, 129, 65, 16, 3], [160, 145, 17, 3]]


def found_by_threads(sources: Path) -> bool:
    """Whether the fused kernels fail on a machine of one kind or the other, watched by the sanitizer of threads."""
    for arch in (90, 80):
        program = compile_check(sources.parent, "thread", 64, [16, 96], sources, arch)
        if any(failure_of(program, "greedy", 3, lengths) for lengths in LENGTHS):
            return True
    return False


def found_by_groups(sources: Path) -> bool:
    """The same where four warps multiply together, for one group a unit, for three, and for those of one stage."""
    program = compile_check(sources.parent, "thread", 64, [48, 64, 144, 160], sources, 90)
    runs = [(schedule, lengths) for lengths in GROUPED for schedule in ("greedy", "in order")]
    return any(failure_of(program, schedule, 3, lengths) for schedule, lengths in runs)


def found_by_trials(sources: Path) -> bool:
    """Whether a trial of stages fails on a machine of one kind or the other, watched by the sanitizer of threads."""
    for arch in (90, 80):
        program = compile_trials(sources.parent, "thread", arch, sources)
        runs = [(number, schedule, 1) for schedule in reversed(SCHEDULES) for number in reversed(STAGES)]
        if any(failure_of_trial(program, *run) for run in runs):
            return True
    return False


def found_by_numbers(sources: Path) -> bool:
    """Whether the CPU kernels give other numbers."""
    return complaint(build_portable(sources.parent, sources)) is not None


def found_by_addresses(sources: Path) -> bool:
    """Whether the CPU kernels read or write where nothing is theirs."""
    library = build_portable(sources.parent, sources, SANITIZERS)
    said = complaint(library, "portable and not attention and not around", **sanitized())
    return said is not None and "ERROR: AddressSanitizer" in said


QUICK = [
    *((FUSED, found_by_threads, mutation) for mutation in (WAITS[3], WAITS[11], MASKS[4])),
    *((FUSED, found_by_groups, mutation) for mutation in (broken_groups.WAITS[8], broken_groups.MASKS[1])),
    *((FUSED, found_by_trials, mutation) for mutation in (MEETINGS[6], RULES[0])),
]
ALL = [
    *((FUSED, found_by_trials, mutation) for mutation in MEETINGS + RULES),
    *((FUSED, found_by_threads, mutation) for mutation in WAITS + MASKS),
    *((FUSED, found_by_groups, mutation) for mutation in broken_groups.WAITS + broken_groups.MASKS),
    *((NATIVE, found_by_numbers, mutation) for mutation in WRONG),
    *((NATIVE, found_by_addresses, mutation) for mutation in OVERRUNS),
]


def named(value) -> str | None:
    return str(value) if isinstance(value, Mutation) else getattr(value, "__name__", "")


def test_every_barrier_and_wait_is_listed():
    for file in ("forward.h", "backward.h", broken_groups.FILE):
        text = (FUSED / file).read_text()
        for what in (
            "wait_copies();",
            "await(",
            "await_together(",
            "leave_stage(",
            "sync_block();",
            ".sync();",
            "sync_warp();",
            "fence_",
            "open_products();",
            "close_products();",
            "await_products<",
        ):
            listed = sum(m.file == file and what in m.before for m in WAITS + broken_groups.WAITS)
            assert text.count(what) == listed, f"{file}: {what}"
    text = (FUSED / "stage_trials.h").read_text()
    for what in ("sync_block();", ".sync();", "await(", "fence_arrivals();", "fence_copies();"):
        assert text.count(what) == sum(what in m.before for m in MEETINGS), what


@pytest.mark.slow
@pytest.mark.parametrize(("sources", "found", "mutation"), QUICK, ids=named)
def test_a_broken_kernel_is_found(sources, found, mutation, tmp_path):
    assert found(break_sources(mutation, sources, tmp_path / "sources"))


@pytest.mark.thorough
@pytest.mark.parametrize(("sources", "found", "mutation"), ALL, ids=named)
def test_each_broken_kernel_is_found(sources, found, mutation, tmp_path):
    assert found(break_sources(mutation, sources, tmp_path / "sources"))
