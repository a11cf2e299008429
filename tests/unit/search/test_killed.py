"""Killed while adding: nothing that was answered is lost, and nothing is there that was not at least asked for."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from small_search import addition, empty_index

from interbert.search.index.index import Index


def write_until_killed(path: Path, first: int, exact_up_to: int, say: int) -> None:
    """Adds and removes items, and says of each before what it is about to do, and after that it was answered."""

    def tell(text: str) -> None:
        os.write(say, f"{text}\n".encode())  # whole, and there before the next line of code

    with Index.open(path, exact_up_to=exact_up_to) as index:
        tell("open 0")
        for number in range(first, first + 1_000_000):
            tell(f"adding {number}")
            index.put([addition(number)])
            tell(f"added {number}")
            if number % 3 == 2:
                tell(f"removing {number - 1}")
                index.remove([f"item-{number - 1}"])
                tell(f"removed {number - 1}")
            if number % 25 == 24:
                index.snapshot()


def killed_after(
    path: Path, first: int, lines: int, seconds: float, exact_up_to: int
) -> list[tuple[str, int]]:
    """What a process of its own said before it was killed, so many seconds after it had said so many lines."""
    hear, say = os.pipe()
    writer = os.fork()
    if writer == 0:
        try:
            os.close(hear)
            write_until_killed(path, first, exact_up_to, say)
        finally:
            os._exit(1)
    os.close(say)
    with os.fdopen(hear) as said:
        assert said.readline() == "open 0\n"
        heard = [said.readline() for _ in range(lines)]
        time.sleep(seconds)
        os.kill(writer, signal.SIGKILL)
        heard += said.readlines()
    assert os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) == -signal.SIGKILL
    return [(word, int(number)) for word, number in (line.split() for line in heard)]


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
    print(f"seed {seed}")  # which pytest shows where it fails
    rng = np.random.default_rng(seed)
    empty_index(path).close()
    there, first = set(), 0
    for _ in range(times):
        lines, seconds = int(rng.integers(0, 60)), float(rng.uniform(0, 0.004))
        said = killed_after(path, first, lines, seconds, exact_up_to)
        assert len(said) >= lines
        there = check(path, there, said, exact_up_to)
        first = max([first, *(number + 1 for word, number in said if word == "adding")])
    assert len(there) > times


def test_killed_while_adding(tmp_path):
    kills(tmp_path / "i", 20, seed=os.getpid(), exact_up_to=30)


@pytest.mark.thorough
@pytest.mark.parametrize("exact_up_to", [30, 10**9])
def test_killed_while_adding_a_hundred_times(tmp_path, exact_up_to):
    kills(tmp_path / "i", 100, seed=1, exact_up_to=exact_up_to)
