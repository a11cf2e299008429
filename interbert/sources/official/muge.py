"""Chinese text-to-image retrieval, in the files of MUGE and of Chinese-CLIP: queries with their candidates.

A line of queries is {query_id, query_text, item_ids} or {text_id, text, image_ids}; a line of candidates has the id
and the list, as a prediction of any retriever does. Several items may fit a query, and an item several queries.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import ExamplesError, Fault
from interbert.sources.official.images import Images
from interbert.sources.official.rows import (
    OFFICIAL,
    Example,
    Skipped,
    examples_of,
    json_lines,
    judged_pairs,
    parsed,
    text_in,
)

NAME = "muge"


@dataclass(frozen=True)
class Names:
    """What the fields of a file are called; its predictions have the same."""

    query: str
    text: str
    items: str


LAYOUTS = (Names("query_id", "query_text", "item_ids"), Names("text_id", "text", "image_ids"))


def names_in(row: dict[str, Any]) -> Names:
    for names in LAYOUTS:
        if names.query in row:
            return names
    raise Fault("", f"has neither query_id nor text_id; it has {', '.join(row)}: is it a file of queries?")


def query_of(row: dict[str, Any]) -> tuple[Names, int | str, str, list[str] | None]:
    """Names, id, text and the items that fit; None where they are not known."""
    names = names_in(row)
    items = row.get(names.items)
    return names, id_in(row, names), text_in(row, names.text), items_in(row, names) if items else None


def id_in(row: dict[str, Any], names: Names) -> int | str:
    found = row[names.query]
    if type(found) not in (int, str) or found == "":
        raise Fault(names.query, f"{found!r} is no id; take the official file anew")
    return found


def items_in(row: dict[str, Any], names: Names) -> list[str]:
    found = row.get(names.items)
    if type(found) is not list or not found or not all(type(item) in (int, str) for item in found):
        raise Fault(names.items, f"{found!r:.60} is no list of ids; take the official file anew")
    items = [str(item) for item in found]
    if len(set(items)) < len(items):
        raise Fault(names.items, "has an id twice; keep one of them")
    return items


def examples_of_queries(
    path: Path, candidates: Path, images: Images, left_out: Counter[str]
) -> Iterator[Example]:
    among = _candidates_in(candidates)

    def read(raw: bytes) -> Iterator[Example]:
        names, query, text, fits = query_of(parsed(raw))
        if str(query) not in among:
            raise Skipped("no candidates of the query")
        items = among[str(query)]
        example = {
            "id": query,
            "images": [images.named(item) for item in items],
            "texts": [text],
            "pairs": judged_pairs(items, fits),
            "candidates": items,
            "fields": [names.query, names.items],
        }
        yield example | ({} if fits is None else {"relevant": fits}) | {OFFICIAL: NAME}

    return examples_of(path, json_lines(path), read, left_out)


def _candidates_in(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}

    def read(raw: bytes) -> Iterator[Example]:
        row = parsed(raw)
        names = names_in(row)
        found[str(id_in(row, names))] = items_in(row, names)
        yield {"id": row[names.query]}

    for _ in examples_of(path, json_lines(path), read, Counter()):
        pass
    if not found:
        raise ExamplesError(f"{path}: no candidates in it")
    return found
