"""NLVR2: statements about two images, true or false, into examples of two pairs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import ExamplesError, Fault
from interbert.sources.official.images import Images
from interbert.sources.official.rows import (
    OFFICIAL,
    Example,
    examples_of,
    json_lines,
    one_of,
    parsed,
    text_in,
)

NAME = "nlvr2"
LABELS = ("False", "True")


def examples_of_statements(
    path: Path, images: Images, left_out: Counter[str], subsets: Sequence[Path] = ()
) -> Iterator[Example]:
    """subsets: files of some of the statements, such as balanced_dev.json, whose names become types."""
    subset_of, met = _subsets(subsets), set()

    def read(raw: bytes) -> Iterator[Example]:
        row = parsed(raw)
        identifier = text_in(row, "identifier")
        example = {
            "id": identifier,
            "images": [images.named(name, f"nlvr2_{name}") for name in _images_of(identifier)],
            "texts": [text_in(row, "sentence")],
        }
        if row.get("label") is not None:
            example["label"] = one_of(row["label"], LABELS, "label")
        if subset_of:
            example["type"] = subset_of.get(identifier, "neither")
            met.add(example["type"])
        yield example | {OFFICIAL: NAME}

    yield from examples_of(path, json_lines(path), read, left_out)
    for subset in subsets:
        if _name_of(subset) not in met:
            raise ExamplesError(
                f"{subset}: none of its statements is in {path}; give the subsets of the same split"
            )


def _images_of(identifier: str) -> tuple[str, str]:
    """Left and right of dev-850-0-1: split, set, pair and sentence."""
    parts = identifier.split("-")
    if len(parts) != 4 or not all(part.isdigit() for part in parts[1:]):
        raise Fault(
            "identifier",
            f"{identifier!r} is not split-set-pair-sentence, as dev-850-0-1 is; is it NLVR2's file?",
        )
    left, right = ("-".join([*parts[:3], f"img{side}"]) for side in (0, 1))
    return left, right


def _subsets(paths: Sequence[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        read = _identifier_of
        for example in examples_of(path, json_lines(path), read, Counter()):
            name = _name_of(path)
            if found.setdefault(example["id"], name) != name:
                raise ValueError(
                    f"{path}: {example['id']} is in {found[example['id']]!r} too; give subsets apart"
                )
    return found


def _name_of(subset: Path) -> str:
    """`balanced` of balanced_dev.json."""
    return subset.stem.partition("_")[0]


def _identifier_of(raw: bytes) -> Iterator[dict[str, Any]]:
    yield {"id": text_in(parsed(raw), "identifier")}
