"""Rows of a task's official files: read, turned into examples, and whatever is wrong with them told at once."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import ExamplesError, Fault, Faults
from interbert.files import replaced

Example = dict[str, Any]
OFFICIAL = "official"
"""The field of an example that names the task from whose files it is: how it is judged and handed in follows."""


def examples_of(
    path: Path,
    rows: Iterable[tuple[int, Any]],
    read: Callable[[Any], Iterable[Example]],
    left_out: Counter[str],
    entry: str = "line",
) -> Iterator[Example]:
    """What `read` makes of each row. It raises a Fault for one that is wrong, and Skipped for one that is to be left
    out; the faults are refused together, behind the last row.

    rows: each with its number in the file, as a person counts. entry: what is counted there.
    """
    faults, first_of, count = Faults(path, entry), {}, 0
    for number, row in rows:
        count += 1
        try:
            for example in read(row):
                first = first_of.setdefault(str(example["id"]), number)
                if first != number:
                    raise Fault(
                        "", f"its id {example['id']!r} is that of {entry} {first} too; keep one of them"
                    )
                yield example
        except Skipped as reason:
            left_out[str(reason)] += 1
        except Fault as fault:
            faults.add(number, fault)
    faults.refuse(count)
    if not count:
        raise ExamplesError(f"{path}: nothing in it; take the official file anew")


class Skipped(Exception):
    """Why a row is no example, without being wrong."""


def json_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each with its number, unread, so that one that is no JSON is a fault among others."""
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.isspace():
                yield number, raw


def parsed(raw: bytes) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Fault("", "is not UTF-8; take the official file anew") from None
    except (ValueError, RecursionError) as error:
        raise Fault("", f"is no JSON ({error}); the file may be cut: take the official one anew") from None
    if type(row) is not dict:
        raise Fault("", "is no JSON object; take the official file anew")
    return row


def json_tree(path: Path, *lists: str) -> dict[str, Any]:
    """A whole file of JSON that has these lists."""
    try:
        tree = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ExamplesError(f"{path}: is not UTF-8; take the official file anew") from None
    except json.JSONDecodeError as error:
        raise ExamplesError(
            f"{path}, line {error.lineno}: is no JSON ({error.msg}); the file may be cut: take the official one anew"
        ) from None
    for name in lists:
        if type(tree) is not dict or type(tree.get(name)) is not list:
            has = ", ".join(sorted(tree)) if type(tree) is dict else f"a {type(tree).__name__}"
            raise ExamplesError(
                f"{path}: no list {name!r} in it (it has {has}); is it another file of the task?"
            )
    return tree


def text_in(row: Any, field: str) -> str:
    found = row.get(field) if type(row) is dict else None
    if type(found) is not str or not found.strip():
        raise Fault(field, f"{found!r} is no text; take the official file anew")
    return found


def number_in(row: Any, field: str) -> int:
    found = row.get(field) if type(row) is dict else None
    if type(found) is not int:
        raise Fault(field, f"{found!r} is no whole number; take the official file anew")
    return found


def one_of(found: Any, names: Iterable[str], field: str) -> str:
    if found not in names:
        told = repr(found) if type(found) is str else f"{json.dumps(found):.60}, which is no text,"
        raise Fault(
            field, f"{told} is none of {', '.join(names)}; correct it, or take the official file anew"
        )
    return found


def judged_pairs(candidates: Sequence[str], fits: Sequence[str] | None) -> list[list[int]]:
    """The pairs of one text with the images of its candidates; None: it is not known which fit."""
    known = [[] if fits is None else [int(item in fits)] for item in candidates]
    return [[place, 0, *label] for place, label in enumerate(known)]


def write_examples(
    path: Path, examples: Iterable[Example], left_out: Counter[str], named: Path | None = None
) -> int:
    """A line each; the file is whole or not there. How many there are.

    left_out: what `examples_of` counts, to tell where nothing is left. named: where the file is moved later.
    """
    count = 0
    with replaced(path) as partial:
        with open(partial, "w", encoding="utf-8") as file:
            for example in examples:
                file.write(json.dumps(example, ensure_ascii=False) + "\n")
                count += 1
        if not count:
            why = "; ".join(f"{times:,} rows: {reason}" for reason, times in left_out.most_common())
            raise ExamplesError(
                f"{named or path}: not written, for no example is left ({why}); give files and data that belong "
                "together"
            )
    return count
