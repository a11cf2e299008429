"""A process that adds and removes items until it is killed, and says what was answered: `added N`, `removed N`.

Before each it says what it is about to do: `adding N`, `removing N`.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from small_search import addition  # noqa: E402

from interbert.search.index.index import Index  # noqa: E402


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # whole, and there before the next line of code


def main() -> None:
    path, first = Path(sys.argv[1]), int(sys.argv[2])
    with Index.open(path, exact_up_to=int(sys.argv[3])) as index:
        say("open")
        for number in range(first, first + 1_000_000):
            say(f"adding {number}")
            index.put([addition(number)])
            say(f"added {number}")
            if number % 3 == 2:
                say(f"removing {number - 1}")
                index.remove([f"item-{number - 1}"])
                say(f"removed {number - 1}")
            if number % 25 == 24:
                index.snapshot()


if __name__ == "__main__":
    main()
