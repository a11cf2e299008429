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

    def __init__(self, path: Path, entry: str = "line") -> None:
        """entry: what is counted in the file."""
        self._path, self._entry = path, entry
        self._told: list[str] = []
        self._count = 0

    @property
    def _plural(self) -> str:
        return "entries" if self._entry == "entry" else f"{self._entry}s"

    def add(self, line: int, fault: Fault) -> None:
        self._count += 1
        if self._count <= _SHOWN:
            self._told.append(f"{self._entry} {line}, {fault}")

    def refuse(self, lines: int) -> None:
        """ExamplesError if there are any."""
        if self._count == 1:
            raise ExamplesError(f"{self._path}, {self._told[0]}")
        if self._count:
            more = [f"… and {self._count - _SHOWN:,} more"] if self._count > _SHOWN else []
            told = "\n  ".join([*self._told, *more])
            raise ExamplesError(
                f"{self._path}: {self._count:,} of {lines:,} {self._plural} cannot be used\n  {told}"
            )
