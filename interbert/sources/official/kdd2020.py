"""The KDD Cup 2020's products for queries (Multimodalities Recall): each query with its candidates, into examples.

A row is a product and a query: in the training file one that fits, in the others a candidate, of which
valid_answer.json says which fit. The products' features are in the same rows, and come into a store by `import` like
others. Columns are found by the header; no quotation mark means anything.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from interbert.corpus.example_faults import ExamplesError, Fault
from interbert.sources.foreign_files.text_files import parts_of
from interbert.sources.official.images import Images
from interbert.sources.official.negatives import Negatives
from interbert.sources.official.rows import OFFICIAL, Example, Skipped, examples_of, judged_pairs

NAME = "kdd2020"
COLUMNS = ("product_id", "query", "query_id")


class Pair(NamedTuple):
    product: str
    query: str
    query_id: str


@dataclass
class Query:
    """Of a file of candidates."""

    text: str
    products: list[str] = field(default_factory=list)


def pairs_of(path: Path) -> Iterator[tuple[int, Pair | Fault]]:
    """Each row with its line; where it is none, what is wrong with it."""
    for part in parts_of([path]):
        with part.open() as file:
            header = file.readline().rstrip(b"\r\n").split(b"\t")
            names = [cell.decode(errors="replace") for cell in header]
            lacking = [name for name in COLUMNS if name not in names]
            if lacking:
                raise ExamplesError(
                    f"{part.name}: its first line lacks the columns {', '.join(lacking)}; take the official file anew"
                )
            places = [names.index(name) for name in COLUMNS]
            for number, line in enumerate(file, start=2):
                if not line.isspace():
                    yield number, _pair(line.rstrip(b"\r\n").split(b"\t"), names, places)


def _pair(cells: list[bytes], names: list[str], places: list[int]) -> Pair | Fault:
    if len(cells) != len(names):
        return Fault("", f"{len(cells)} columns, {len(names)} expected; the file may be cut: take it anew")
    try:
        found = Pair(*(cells[place].decode().strip() for place in places))
    except UnicodeDecodeError:
        return Fault("", "is not UTF-8; take the official file anew")
    empty = [name for name, value in zip(COLUMNS, found, strict=True) if not value]
    return Fault(empty[0], "is empty; take the official file anew") if empty else found


def examples_of_pairs(
    path: Path, images: Images, left_out: Counter[str], negatives: int, seed: int
) -> Iterator[Example]:
    """Each fitting product of a query, and as many products of other queries that share words with it."""
    rows = list(pairs_of(path))
    drawn = Negatives(
        ((pair.query, pair.product) for _, pair in rows if isinstance(pair, Pair)), negatives, seed
    )
    seen: set[tuple[str, str]] = set()

    def read(row: tuple[int, Pair | Fault]) -> Iterator[Example]:
        number, pair = row
        if isinstance(pair, Fault):
            raise pair
        if (pair.query_id, pair.product) in seen:
            raise Skipped("the same product for the same query came before")
        seen.add((pair.query_id, pair.product))
        others = drawn.of(pair.query, pair.product, number)
        named = [images.named(product) for product in (pair.product, *others)]
        yield {
            "id": f"{pair.query_id}-{pair.product}",
            "images": named,
            "texts": [pair.query],
            "pairs": [[place, 0, int(place == 0)] for place in range(len(named))],
        }

    return examples_of(path, ((number, (number, pair)) for number, pair in rows), read, left_out)


def examples_of_candidates(
    path: Path, images: Images, left_out: Counter[str], answers: Path | None = None
) -> Iterator[Example]:
    """Each query with all its candidates. Without answers none of them is known to fit or not."""
    queries = _queries_of(path)
    right = None if answers is None else _answers_in(answers, queries)

    def read(item: tuple[str, Query]) -> Iterator[Example]:
        query_id, query = item
        fits = None if right is None else right.get(query_id)
        if right is not None and fits is None:
            raise Skipped("the answers do not speak of the query")
        example = {
            "id": query_id,
            "images": [images.named(product) for product in query.products],
            "texts": [query.text],
            "pairs": judged_pairs(query.products, fits),
            "candidates": query.products,
        }
        yield example | ({} if fits is None else {"relevant": fits}) | {OFFICIAL: NAME}

    return examples_of(path, enumerate(queries.items(), start=1), read, left_out, entry="entry")


def _queries_of(path: Path) -> dict[str, Query]:
    found: dict[str, Query] = {}

    def read(pair: Pair | Fault) -> Iterable[Example]:
        if isinstance(pair, Fault):
            raise pair
        query = found.setdefault(pair.query_id, Query(pair.query))
        if query.text != pair.query:
            raise Fault("query", f"{pair.query!r}, but query_id {pair.query_id} was {query.text!r}; keep one")
        if pair.product in query.products:
            raise Fault(
                "product_id", f"{pair.product} is a candidate of query {pair.query_id} twice; keep one"
            )
        query.products.append(pair.product)
        return ()

    for _ in examples_of(path, pairs_of(path), read, Counter()):
        pass
    return found


def _answers_in(path: Path, queries: dict[str, Query]) -> dict[str, list[str]]:
    """The products that fit each query."""
    try:
        tree = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ExamplesError(f"{path}: is no JSON ({error}); take the official file anew") from None
    if type(tree) is not dict or not all(type(fits) is list and fits for fits in tree.values()):
        raise ExamplesError(f"{path}: no object of query ids and lists of products; is it valid_answer.json?")
    if not tree.keys() & queries.keys():
        raise ExamplesError(f"{path}: speaks of none of the {len(queries):,} queries; is it another split's?")
    return {query_id: [str(product) for product in fits] for query_id, fits in tree.items()}
