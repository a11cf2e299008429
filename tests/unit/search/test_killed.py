"""Killed while adding: nothing that was answered is lost, and nothing is there that was not at least asked for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_search import addition, empty_index

from interbert.search.index.index import Index

WRITER = Path(__file__).parents[2] / "helpers" / "index_writer.py"


def killed_after(path: Path, first: int, seconds: float, exact_up_to: int) -> list[tuple[str, int]]:
    """What a writer said before it was killed, so many seconds after it was open."""
    writer = subprocess.Popen(
        [sys.executable, WRITER, path, str(first), str(exact_up_to)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "open\n"
    time.sleep(seconds)
    os.kill(writer.pid, signal.SIGKILL)
    said = writer.stdout.read().splitlines()
    assert writer.wait() == -signal.SIGKILL
    return [(word, int(number)) for word, number in (line.split() for line in said)]


def check(path: Path, there: set[int], said: list[tuple[str, int]], exact_up_to: int) -> set[int]:
    """there: before. What is there now."""
    for word, number in said:
        if word == "added":
            there = there | {number}
        elif word == "removed":
            there = there - {number}
    word, number = said[-1] if said else ("", -1)  # under way, perhaps, when it was killed
    allowed = {"adding": [there, there | {number}], "removing": [there, there - {number}]}.get(word, [there])
    with Index.open(path, exact_up_to=exact_up_to) as index:
        assert index.verify() == []
        numbers = index.truth.numbers().tolist()
        found = {int(row.id.removeprefix("item-")) for row in index.rows(numbers).values()}
        assert found in allowed
        assert len(index) == len(found)
        for one in sorted(found)[-5:]:
            nearest, products = index.search(addition(one).vector_W[None], 1)
            assert index.rows(nearest[0])[nearest[0][0]].id == f"item-{one}" and products[0][0] > 0.98
    return found


def kills(path: Path, times: int, seed: int, exact_up_to: int) -> None:
    rng = np.random.default_rng(seed)
    empty_index(path).close()
    there, first, most = set(), 0, 0
    for _ in range(times):
        said = killed_after(path, first, float(rng.uniform(0, 0.4)), exact_up_to)
        there = check(path, there, said, exact_up_to)
        most = max(most, len(said))
        first = max([first, *(number + 1 for word, number in said if word == "adding")])
    assert most > 3, "it was always killed before it did anything"


def test_killed_while_adding(tmp_path):
    kills(tmp_path / "i", 3, seed=os.getpid(), exact_up_to=30)


@pytest.mark.thorough
@pytest.mark.parametrize("exact_up_to", [30, 10**9])
def test_killed_while_adding_a_hundred_times(tmp_path, exact_up_to):
    kills(tmp_path / "i", 100, seed=1, exact_up_to=exact_up_to)
