"""GLUE: tables of one or two texts and what is right of them, into examples of text alone."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from interbert.corpus.example_faults import ExamplesError, Fault
from interbert.sources.official.glue_tasks import TASKS, GlueTask, official_name
from interbert.sources.official.rows import OFFICIAL, Example, Skipped, examples_of, one_of

_NUMBERS = ("index", "id")
"""Headers of the column that numbers the rows, where there is one."""


def files_of(folder: Path, task: str) -> dict[str, Path]:
    """Of each split; ValueError names what is missing."""
    found = {split: folder / name for split, name in TASKS[task].splits}
    if task == "ax" and not found["test"].is_file():
        found["test"] = folder / "AX.tsv"
    missing = [path.name for path in found.values() if not path.is_file()]
    if missing:
        raise ValueError(f"{folder}: {', '.join(missing)} missing; give the official folder of {task}, whole")
    return found


def examples_of_table(path: Path, task: str, split: str, left_out: Counter[str]) -> Iterator[Example]:
    table = _Table(path, TASKS[task], test=split.startswith("test"))
    fields = {OFFICIAL: official_name(task, split)}

    def read(row: tuple[int, bytes]) -> Iterator[Example]:
        yield table.example(*row) | fields

    return examples_of(path, table.rows(), read, left_out)


EMPTY = "."
"""In place of an empty text of a test file, whose every row is asked for."""


class _Table:
    """Tab-separated; quotes mean nothing. Where a file has a header, columns are found by it."""

    def __init__(self, path: Path, task: GlueTask, test: bool) -> None:
        self._path, self._task, self._test = path, task, test
        self._headed = test or not task.headless
        columns = self._header() if self._headed else list(task.headless)
        self._columns, self._width = columns, len(columns)
        self._place = {name: place for place, name in enumerate(columns)}
        wanted = self._task.texts if test else (*self._task.texts, task.label)
        lacking = [name for name in wanted if name not in self._place]
        if lacking:
            raise ExamplesError(
                f"{path}, line 1: its columns are {', '.join(columns)}; {', '.join(lacking)} missing: is it another "
                "task's or version's file? Take that of the GLUE benchmark"
            )
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice is not None:
            raise ExamplesError(
                f"{path}, line 1: the column {twice} stands there twice; take the file of the GLUE benchmark"
            )
        self._number = next((name for name in _NUMBERS if name in self._place), None)

    def _header(self) -> list[str]:
        with open(self._path, "rb") as file:
            try:
                return file.readline().decode("utf-8-sig").rstrip("\r\n").split("\t")
            except UnicodeDecodeError:
                raise ExamplesError(
                    f"{self._path}, line 1: is not UTF-8; take the official file anew"
                ) from None

    def rows(self) -> Iterator[tuple[int, tuple[int, bytes]]]:
        """Each line's number, and with the line its place among the rows, from 0.

        Only a line feed ends a line: others of Unicode's line ends stand within texts.
        """
        with open(self._path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                if number > 1 or not self._headed:
                    yield number, (number - 1 - self._headed, raw)

    def example(self, place: int, raw: bytes) -> Example:
        cells = self._cells(raw)
        if self._test and self._number and cells[self._place[self._number]] != str(place):
            raise Fault(
                self._number,
                f"{cells[self._place[self._number]]!r}, where {place} is due: rows of a test file are numbered from "
                "0, and handed in so; take the official file anew",
            )
        texts = [self._text(cells, name) for name in self._task.texts]
        example = {"id": cells[self._place[self._number]] if self._number else str(place)}
        example |= {"texts": [texts if len(texts) > 1 else texts[0]]}
        return example if self._test else example | self._right(cells[self._place[self._task.label]])

    def _cells(self, raw: bytes) -> list[str]:
        try:
            cells = raw.decode("utf-8-sig").rstrip("\r\n").split("\t")
        except UnicodeDecodeError:
            raise Fault("", "is not UTF-8; take the official file anew") from None
        if self._headed and cells == self._columns:
            raise Fault("", "the header again: these are two files in one; take the official file anew")
        if len(cells) < self._width:
            # Of a test file no row may be left out: predictions are handed in by their numbers.
            if self._task.label == "is_duplicate" and not self._test:
                raise Skipped("shorter than its header, as some of the official ones are")
            raise Fault(
                "", f"{len(cells)} columns of {self._width}; the file may be cut: take the official one anew"
            )
        if len(cells) > self._width:
            raise Fault(
                "", f"{len(cells)} columns, and {self._width} in the first line; take the official file anew"
            )
        return cells

    def _text(self, cells: list[str], name: str) -> str:
        text = cells[self._place[name]]
        if not text.strip():
            if self._test:
                return EMPTY
            if self._task.label == "is_duplicate":
                raise Skipped("one of its texts is empty")
            raise Fault(name, "empty; take the official file anew")
        return text

    def _right(self, found: str) -> Example:
        if self._task.labels:
            return {"label": one_of(found, self._task.labels, self._task.label)}
        try:
            value = float(found)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 5:
            raise Fault(self._task.label, f"{found!r} is no number from 0 to 5; take the official file anew")
        return {"value": value}
