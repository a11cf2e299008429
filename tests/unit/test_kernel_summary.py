"""The line at the end of a run about what the machine could not test."""

from kernel_summary import summary
from pytest import TestReport


def report(nodeid: str, outcome: str, when: str = "call", reason: str = "") -> TestReport:
    longrepr = ("conftest.py", 1, f"Skipped: {reason}") if reason else None
    return TestReport(nodeid, (nodeid, 1, nodeid), {}, outcome, longrepr, when)


def test_it_counts_what_was_skipped_and_what_stood_in_and_says_why():
    why = "tile kernels: the processor lacks amx_bf16"
    reports = {
        "skipped": [
            *(report(f"t.py::{name}[tiles]", "skipped", "setup", why) for name in ("a", "b")),
            report("t.py::c", "skipped", "setup", "no nvcc"),
        ],
        "passed": [
            *(report("t.py::a[portable-3]", "passed", when) for when in ("setup", "call")),
            report("t.py::d", "passed"),
        ],
    }
    assert summary(reports) == (
        "CPU kernels: 2 tests on tile registers skipped (the processor lacks amx_bf16); "
        "a portable build of the same sources passed 1 tests in their place"
    )


def test_it_is_silent_where_nothing_was_skipped_for_that():
    assert summary({}) is None
    assert summary({"skipped": [report("t.py::c", "skipped", "setup", "no nvcc")]}) is None
