"""Tables of text: with a header that names the columns, or Flickr's tokens, or file name and caption."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interbert.sources.captions.layout import (
    SHOWN,
    Caption,
    Layout,
    captions_of,
    first_name,
    image_name,
    sentences,
)
from interbert.sources.captions.names import has_ending
from interbert.sources.captions.objects import IMAGES, TEXTS, URLS
from interbert.sources.captions.text_file import lines, opened
from interbert.sources.captions.web import URL_FIELDS, conceptual, is_url
from interbert.sources.record import ImportFault

_DELIMITERS = {"\t": "tabs", "|": "|", ",": "commas", ";": "semicolons"}
_TAGGED = re.compile(r"(\S+):[A-Za-z]+")
"""A word and its part of speech, as the raw files of Flickr30k-CN have them."""
_LIST_COLUMNS = ("raw", "sentences", "captions", "texts")
_LOST_BAR = re.compile(r"\s*\d+\s{2,}(.*)")
"""The published results.csv lacks one of its bars, in line 20,001: `| 4   A dog runs across the grass .`"""


@dataclass(frozen=True)
class _Lines:
    """A caption a line, without a header."""

    what: str
    told: str
    expected: str
    pattern: re.Pattern[str]
    """Of a line: `name` and `text`."""
    cleaned: Callable[[str], str] = str


def table(path: Path, encoding: str, first_line: str) -> Layout | None:
    for kind in (_TOKENS, _MARKED):
        if kind.pattern.fullmatch(first_line):
            return _of_lines(path, encoding, kind)
    for delimiter in _DELIMITERS:
        columns = [name.strip().strip('"').lower() for name in first_line.split(delimiter)]
        image = next((name for name in IMAGES if name in columns), None)
        text = next((name for name in TEXTS if name in columns and name != image), None)
        if image and text:
            return _headed(path, encoding, delimiter, columns, image, text)
    cells = first_line.split("\t")
    if len(cells) != 2:
        return None
    if is_url(cells[0]) or is_url(cells[1]):
        return conceptual(path, encoding, url_first=is_url(cells[0]))
    return _of_lines(path, encoding, _PAIRS) if has_ending(cells[0]) else None


def _of_lines(path: Path, encoding: str, kind: _Lines) -> Layout:
    left_out: Counter[str] = Counter()

    def captions() -> Iterator[Caption]:
        left_out.clear()
        for number, line in lines(path, encoding):
            where = f"{path}, line {number}"
            found = kind.pattern.fullmatch(line)
            if found is None:
                raise ImportFault(f"{where}: {line!r:.{SHOWN}}; {kind.expected} are expected")
            texts = sentences(kind.cleaned(found["text"]), where)
            yield from captions_of(image_name(found["name"], where), None, None, texts, left_out)

    return Layout(kind.what, (first_name("file"),), kind.told, captions, left_out)


def _without_tags(text: str) -> str:
    """Of words with parts of speech, which are Chinese, the sentence; any other text as it is."""
    words = [_TAGGED.fullmatch(word) for word in text.split()]
    return "".join(word[1] for word in words if word) if words and all(words) else text


_TOKENS = _Lines(
    "Flickr's tokens",
    "lines FILE#NUMBER, tab, caption",
    "FILE#NUMBER, a tab and a caption",
    re.compile(r"(?P<name>[^\t]+)#\d+\t(?P<text>.*)"),
)
_MARKED = _Lines(
    "captions of Flickr30k-CN or COCO-CN",
    "lines NAME#KIND#NUMBER, space, caption; of words with their parts of speech the words",
    "NAME#KIND#NUMBER, a space and a caption",
    re.compile(r"(?P<name>[^\s#]+)#\w+#\d+\s+(?P<text>.*)"),
    _without_tags,
)
_PAIRS = _Lines(
    "file names with captions",
    "lines FILE, tab, caption",
    "a file name, a tab and a caption",
    re.compile(r"(?P<name>[^\t]*)\t(?P<text>.*)"),
)


def _headed(path: Path, encoding: str, delimiter: str, columns: list[str], image: str, text: str) -> Layout:
    left_out: Counter[str] = Counter()

    def captions() -> Iterator[Caption]:
        left_out.clear()
        rows = _bars(path, encoding, len(columns)) if delimiter == "|" else _csv(path, encoding, delimiter)
        for row, (where, cells) in enumerate(rows):
            if len(cells) != len(columns):
                raise ImportFault(
                    f"{where}: {len(cells)} cells, but the header has {len(columns)} ({', '.join(columns)}); a "
                    "caption with the separator in it belongs in quotation marks"
                )
            found = dict(zip(columns, cells, strict=True))
            name = image_name(found[image], f"{where}, {image}")
            texts = sentences(_listed(found[text], text), f"{where}, {text}")
            other = str(row) if image in URLS else None
            yield from captions_of(name, other, found.get("split"), texts, left_out)

    return Layout(
        f"a table with a header, separated by {_DELIMITERS[delimiter]}",
        URL_FIELDS if image in URLS else (first_name(image),),
        f"columns {', '.join(columns)}: {image} and {text} are taken",
        captions,
        left_out,
    )


def _listed(cell: str, column: str) -> str | list:
    """Some tables hold all captions of an image in one cell, as a JSON list."""
    if column in _LIST_COLUMNS and cell.lstrip().startswith("["):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell


def _csv(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    with opened(path, encoding) as text:
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        begun, headed = 1, False
        try:
            for cells in rows:
                where, begun = f"{path}, line {begun}", rows.line_num + 1
                if cells and headed:
                    yield where, cells
                headed = headed or bool("".join(cells).strip())
        except csv.Error as error:
            raise ImportFault(
                f"{path}, line {begun}: {error}: a quotation mark within a caption is written twice, and the caption "
                "in quotation marks"
            ) from None


def _bars(path: Path, encoding: str, columns: int) -> Iterator[tuple[str, list[str]]]:
    """Without quotation marks; the last column may hold bars."""
    rows = lines(path, encoding)
    next(rows)
    for number, line in rows:
        cells = line.split("|", columns - 1)
        if len(cells) == columns - 1 and (lost := _LOST_BAR.fullmatch(cells[-1])):
            cells = [*cells[:-1], "", lost[1]]
        yield f"{path}, line {number}", cells
