"""JSON that is larger than the memory: arrays and objects are gone through value by value.

Only what is asked for is held: an element of an array, a value of an object.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from interbert.sources.captions.text_file import opened
from interbert.sources.record import ImportFault

_BLOCK = 1 << 18
LARGEST = 1 << 26
"""Characters of one value: a larger one is no caption."""
_NEAR = 16
"""A fault this near to the end of what was read may be one of a value that goes on."""
_DECODE = json.JSONDecoder().raw_decode
_SPACES = re.compile(r"[ \t\r\n]*").match


class JsonStream:
    """Values of one JSON text, in its order. A whole array or object must be gone through before what follows it."""

    def __init__(self, path: Path, text: IO[str]) -> None:
        self._path, self._text = path, text
        self._buffer, self._place, self._ended = "", 0, False
        self._line = 1
        """Of the buffer's beginning."""

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            self._place = _SPACES(self._buffer, self._place).end()
            if self._place < len(self._buffer):
                return self._buffer[self._place]
            if not self._more():
                return ""

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                found, end = _DECODE(self._buffer, self._place)
            except json.JSONDecodeError as error:
                goes_on = error.msg.startswith("Unterminated") or error.pos > len(self._buffer) - _NEAR
                if goes_on and self._more():
                    continue
                raise self.fault(f"not JSON ({error.msg})", error.pos) from None
            except RecursionError:
                raise self.fault("not captions: nested too deep", self._place) from None
            except ValueError as error:  # a number of thousands of digits
                raise self.fault(f"not JSON ({error})", self._place) from None
            if end == len(self._buffer) and self._more():
                continue  # a number may go on
            self._place = end
            return found

    def array(self) -> Iterator[Any]:
        self._take("[")
        if self._ends("]"):
            return
        while True:
            yield self.value()
            if not self._next("]"):
                return

    def members(self) -> Iterator[str]:
        """The keys of an object; each key's value must be taken before the next key."""
        self._take("{")
        if self._ends("}"):
            return
        while True:
            if self.peek() != '"':
                raise self.fault("not JSON (a key in quotation marks is expected)", self._place)
            key = self.value()
            self._take(":")
            yield key
            if not self._next("}"):
                return

    def skip(self) -> None:
        """Past the next value; of a long array no more than one element is held."""
        if self.peek() == "[":
            for _ in self.array():
                pass
        else:
            self.value()

    def end(self) -> None:
        if self.peek():
            raise self.fault("not JSON: something follows its end", self._place)

    def fault(self, what: str, place: int) -> ImportFault:
        line = self._line + self._buffer.count("\n", 0, place)
        return ImportFault(f"{self._path}, line {line}: {what}")

    def _take(self, sign: str) -> None:
        if self.peek() != sign:
            raise self.fault(f"not JSON ({sign!r} is expected)", self._place)
        self._place += 1

    def _ends(self, sign: str) -> bool:
        ends = self.peek() == sign
        self._place += ends
        return ends

    def _next(self, closing: str) -> bool:
        """Past a comma (true), or past the end."""
        if self._ends(closing):
            return False
        self._take(",")
        return True

    def _more(self) -> bool:
        """Read on, at least as much again as the value begun has; false at the end of the file."""
        if self._ended:
            return False
        if len(self._buffer) - self._place > LARGEST:
            raise self.fault(f"one value of more than {LARGEST:,} characters", self._place)
        self._line += self._buffer.count("\n", 0, self._place)
        begun = self._buffer[self._place :]
        read = self._text.read(max(_BLOCK, len(begun)))
        self._ended = not read
        self._buffer, self._place = begun + read, 0
        return not self._ended


def elements(path: Path, encoding: str, key: str | None = None) -> Iterator[tuple[str, Any]]:
    """(file and place for messages, element) of the file's array, or of the one under this key of its object."""
    with opened(path, encoding) as text:
        stream = JsonStream(path, text)
        if key is None:
            yield from _placed(path, "", stream)
        else:
            for name in stream.members():
                if name == key:
                    yield from _placed(path, key, stream)
                else:
                    stream.skip()
        stream.end()


def members(path: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    """(key, value) of the file's object."""
    with opened(path, encoding) as text:
        stream = JsonStream(path, text)
        for key in stream.members():
            yield key, stream.value()
        stream.end()


def _placed(path: Path, key: str, stream: JsonStream) -> Iterator[tuple[str, Any]]:
    for number, value in enumerate(stream.array()):
        yield f"{path}, {key}[{number}]", value
