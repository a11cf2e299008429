"""What every test may rely on: quiet, offline, one thread, no trace outside its own folder. And what it all took."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import logging
import subprocess
import zlib
from collections import Counter
from pathlib import Path, PurePath

import pytest

pytest_plugins = ["kernel_summary", "two_at_once"]
ROOT = Path(__file__).parents[1]


def pytest_addoption(parser) -> None:
    parser.addoption(
        "--share",
        type=int,
        default=1,
        metavar="N",
        help="of the matrices (thorough, cluster) one test in N, chosen by the commit, and all of files it changes",
    )

    parser.addoption(
        "--slice", type=int, default=1, metavar="N", help="the same of what is marked slow, one test in N"
    )


def pytest_collection_modifyitems(config, items) -> None:
    share, part = config.getoption("--share"), config.getoption("--slice")
    if share == part == 1:
        return
    commit, changed = git("rev-parse", "HEAD") or "0", git("diff", "--name-only", "HEAD^", "HEAD").split()
    kept, left = [], []
    for item in items:
        matrix = any(item.get_closest_marker(name) for name in ("thorough", "cluster"))
        of = share if matrix else part if item.get_closest_marker("slow") else 1
        file = str(item.path.relative_to(ROOT))
        mine = file in changed or (place(item) + int(commit, 16)) % of == 0
        (kept if mine else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def place(item) -> int:
    """All of a ZeRO stage together, for those share what takes long."""
    stage = getattr(item, "callspec", None) and item.callspec.params.get("stage")
    return zlib.crc32(item.nodeid.encode()) if stage is None else stage


def git(*words: str) -> str:
    """Nothing where there is no history to ask."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Whatever falls back to the user's cache folder falls back to a fresh one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def own_log_level():
    """A rank beyond the first speaks of faults alone, from then on: in a process of its own, but not here."""
    level = logging.getLogger("interbert").level
    yield
    logging.getLogger("interbert").setLevel(level)


def pytest_terminal_summary(terminalreporter) -> None:
    """Seconds by folder, with what their fixtures took; and why tests were skipped."""
    seconds, skipped = Counter(), Counter()
    for report in (each for reports in terminalreporter.stats.values() for each in reports):
        if hasattr(report, "duration"):
            seconds[str(PurePath(report.nodeid.split("::")[0]).parent)] += report.duration
        if getattr(report, "skipped", False):
            skipped[report.longrepr[-1].removeprefix("Skipped: ")] += 1
    say = terminalreporter.write_line
    say("")
    for folder, took in seconds.most_common():
        say(f"{took:6.0f} s  {folder}")
    for reason, tests in skipped.most_common():
        say(f"{tests:6} skipped: {reason}")
