"""Says at the end of a run what of the native CPU kernels this machine could not test, and what stood in for it."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    line = summary(terminalreporter.stats)
    if line:
        terminalreporter.write_line(line, yellow=True)


def summary(reports: dict[str, list]) -> str | None:
    reasons = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in reports.get("skipped", [])
        if isinstance(report.longrepr, tuple) and "Skipped: tile kernels: " in report.longrepr[2]
    ]
    if not reasons:
        return None
    ran = [r for r in reports.get("passed", []) if r.when == "call" and "[portable" in r.nodeid]
    why = reasons[0].removeprefix("tile kernels: ")
    return (
        f"CPU kernels: {len(reasons)} tests on tile registers skipped ({why}); "
        f"a portable build of the same sources passed {len(ran)} tests in their place"
    )
