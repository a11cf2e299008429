"""How far a long piece of work is: a bar on a terminal, a plain line now and then in a log."""

import sys
import time

from tqdm import tqdm


class Progress:
    """Use as a context manager; `shown=False` (every rank but the first) keeps quiet."""

    def __init__(
        self, title: str, total: int, unit: str, shown: bool = True, line_every: float = 10.0, before: int = 0
    ) -> None:
        """line_every: seconds between two lines where there is no terminal. before: done by an earlier start."""
        self.title, self.total, self.unit = title, total, unit
        self._shown, self._line_every = shown, line_every
        self._done = self._before = before
        self._begun = self._said = time.monotonic()
        self._bar = None
        if shown and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=before, desc=title, unit=f" {unit}", unit_scale=True)

    def advance(self, amount: int) -> None:
        self._done += amount
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(amount)
        elif self._shown and now - self._said >= self._line_every:
            self._said = now
            rate = (self._done - self._before) / (now - self._begun)
            left = (self.total - self._done) / rate
            print(
                f"{self.title}: {self._done:,} of {self.total:,} {self.unit} "
                f"({self._done / self.total:.0%}), {rate:,.0f}/s, {left:,.0f} s to go",
                flush=True,
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
