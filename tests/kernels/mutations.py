"""Sources broken in one place each, to see that the tests notice."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Mutation:
    name: str
    file: str
    before: str
    after: str = ""
    number: int = 0
    """Which of the places that read like this."""

    def __str__(self) -> str:
        return self.name


def break_sources(mutation: Mutation, sources: Path, folder: Path) -> Path:
    """The folder, which has the sources with this mutation."""
    shutil.copytree(sources, folder)
    file = folder / mutation.file
    parts = file.read_text().split(mutation.before)
    places = len(parts) - 1
    assert mutation.number < places, f"{mutation.file} has {places} times {mutation.before!r}"
    first, second = parts[: mutation.number + 1], parts[mutation.number + 1 :]
    file.write_text(mutation.before.join(first) + mutation.after + mutation.before.join(second))
    return folder
