"""What is wrong with a file of examples: all of it counted, the first few said."""

from pathlib import Path

_SHOWN = 5


class ExamplesError(ValueError):
    """A file of examples that cannot be used."""


class Fault(Exception):
    """What is wrong with a field of a line, and what to do about it."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"{field}: {what}" if field else what)


class Faults:
    """Collects the faults of a file's lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: list[str] = []
        self._count = 0

    def add(self, line: int, fault: Fault) -> None:
        self._count += 1
        if self._count <= _SHOWN:
            self._told.append(f"line {line}, {fault}")

    def refuse(self, lines: int) -> None:
        """ExamplesError if there are any."""
        if self._count == 1:
            raise ExamplesError(f"{self._path}, {self._told[0]}")
        if self._count:
            more = [f"… and {self._count - _SHOWN:,} more"] if self._count > _SHOWN else []
            told = "\n  ".join([*self._told, *more])
            raise ExamplesError(f"{self._path}: {self._count:,} of {lines:,} lines cannot be used\n  {told}")
