"""Examples: a few (image, text) pairs that belong together, and what is right of them.

docs/examples.md has the format of the file.
Letters: N examples, P pairs.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from interbert.config import Kind
from interbert.corpus.example_faults import ExamplesError, Fault, Faults
from interbert.corpus.example_line import NAME_IT, UNKNOWN, Columns, LineReader

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class Examples:
    path: Path
    kind: Kind
    ids: list[str]
    first_pair: np.ndarray
    """int64 [N + 1]: the pairs of example n are first_pair[n]:first_pair[n + 1]."""
    image_P: np.ndarray
    """int32 image of the corpus, -1 where there is none (text alone)."""
    text_P: np.ndarray
    """int32 index into texts."""
    texts: list[tuple[str, ...]]
    """One or two segments each, every text once."""
    classes: list[str]
    """classify: names, in the order of the head's outputs; [] else."""
    labels_N: np.ndarray | None
    """int64 class (classify) or choice (choose), UNKNOWN where the line has none; None where lines have scores."""
    scores: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    """Weights of several classes: offsets int64 [N + 1], class int32, weight float32."""
    values_N: np.ndarray | None
    """float32, NaN where there is none (score)."""
    is_match_P: np.ndarray | None
    """int64 1 or 0, UNKNOWN where the line does not say (match)."""
    boxes: tuple[np.ndarray, np.ndarray] | None
    """point: offsets int64 [N + 1], boxes float32 [n, 4] in the unit of the store's."""
    types: list[str]
    """"" where there is none."""
    line_at: np.ndarray
    """int64 [N + 1]: where the lines begin in the file, in bytes."""
    fingerprint: str
    tags: tuple[np.ndarray, np.ndarray] | None = None
    """Words that mean regions: offsets int64 [P + 1], int32 [n, 3] segment, word between blanks, region of the image.
    None where no line has any."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def paths(self) -> list[Path]:
        """What caches lie beside."""
        return [self.path]

    @property
    def text_only(self) -> bool:
        """A file has images in each line or in none."""
        return bool(self.image_P[0] < 0)

    @property
    def pairs_each(self) -> int | None:
        """Pairs of every example: its images or choices. None for match, where it may be any number."""
        return None if self.kind == "match" else int(self.first_pair[1])

    @cached_property
    def known_N(self) -> np.ndarray:
        """bool [N]: of which examples the file says what is right."""
        if self.kind == "match":
            return np.logical_or.reduceat(self.is_match_P != UNKNOWN, self.first_pair[:-1])
        if self.kind == "point":
            return np.diff(self.boxes[0]) > 0
        if self.kind == "score":
            return ~np.isnan(self.values_N)
        return np.ones(len(self), bool) if self.labels_N is None else self.labels_N != UNKNOWN

    def where(self, number: int) -> str:
        """The file and the line of an example, for who is told what is wrong with it."""
        with open(self.path, "rb") as file:
            ended = file.read(int(self.line_at[number])).count(b"\n")
        return f"{self.path}, line {ended + 1}"

    def line(self, number: int) -> dict[str, Any]:
        """Everything that the file says of an example."""
        start, stop = self.line_at[number : number + 2].tolist()
        with open(self.path, "rb") as file:
            file.seek(start)
            try:
                fields = json.loads(file.read(stop - start).removeprefix(_BOM))
            except ValueError:
                fields = {}
        if str(fields.get("id")) != self.ids[number]:
            raise ExamplesError(f"{self.path}: changed since it was opened; let it be while it is in use")
        return fields


def open_examples(
    path: str | Path, corpus: Any, kind: Kind, classes: list[str] | None = None, remedy: str = NAME_IT
) -> Examples:
    """Every line checked; ExamplesError says file, line, field and remedy of what is wrong.

    corpus: None where the examples are text alone. classes: names in the order of the head's outputs; else they are
    those that the file names, sorted, or the numbers up to its largest. remedy: what to do about a class that is none
    of them, besides correcting it.
    """
    path = Path(path)
    reader, faults, digest = (
        LineReader(corpus, kind, classes, remedy),
        Faults(path),
        xxhash.xxh3_128(kind.encode()),
    )
    line_at, place, lines = [], 0, 0
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                digest.update(raw)
                if not raw.isspace():
                    line_at.append(place)
                    lines += 1
                    try:
                        reader.add(number, _parse(raw if place else raw.removeprefix(_BOM)))
                    except Fault as fault:
                        faults.add(number, fault)
                place += len(raw)
    except OSError as error:
        raise ExamplesError(f"{path}: cannot be read ({error.strerror}); name a file of examples") from None
    faults.refuse(lines)
    if lines == 0:
        raise ExamplesError(f"{path}: no examples; write one a line")
    return _arrays(path, kind, classes, reader.columns, [*line_at, place], digest.hexdigest())


def _parse(raw: bytes) -> Any:
    try:
        fields = json.loads(raw.decode())
    except UnicodeDecodeError:
        raise Fault("", "is not UTF-8; write the file anew in that encoding") from None
    except (ValueError, RecursionError) as error:
        raise Fault("", f"is no JSON ({error}); write one object a line") from None
    if b"\\u" in raw and type(fields) is dict:
        _refuse_half_characters(fields)
    return fields


def _refuse_half_characters(fields: dict[str, Any]) -> None:
    """Of any field, for all are carried along into predictions, which are written when training is over."""
    for name, value in fields.items():
        try:
            json.dumps({name: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise Fault(ascii(name)[1:-1], f"has half of a character in it ({half}); write it anew") from None


def _arrays(
    path: Path, kind: Kind, classes: list[str] | None, columns: Columns, line_at: list[int], fingerprint: str
) -> Examples:
    soft = kind == "classify" and _all_have_scores(path, columns)
    labels = kind == "choose" or (kind == "classify" and not soft)
    labels_N = np.array(columns.labels_N, np.int64) if labels else None
    scored = np.array(columns.score_classes, np.int32)
    if kind == "classify" and classes is None:
        classes, places = _sorted_classes(path, columns)
        scored = places[scored].astype(np.int32)
        labels_N = np.where(labels_N == UNKNOWN, UNKNOWN, places[labels_N.clip(min=0)]) if labels else None
    return Examples(
        path=path,
        kind=kind,
        ids=list(columns.lines_of),
        first_pair=_offsets(columns.pairs_N),
        image_P=np.array(columns.image_P, np.int32),
        text_P=np.array(columns.text_P, np.int32),
        texts=list(columns.text_of),
        classes=list(classes or []) if kind == "classify" else [],
        labels_N=labels_N,
        scores=(
            (_offsets(columns.scores_N), scored, np.array(columns.score_weights, np.float32))
            if soft
            else None
        ),
        values_N=np.array(columns.values_N, np.float32) if kind == "score" else None,
        is_match_P=np.array(columns.is_match_P, np.int64) if kind == "match" else None,
        boxes=_boxes(columns.boxes_N) if kind == "point" else None,
        types=columns.types,
        line_at=np.array(line_at, np.int64),
        fingerprint=fingerprint,
        tags=_tags(columns.tags_P),
    )


def _sorted_classes(path: Path, columns: Columns) -> tuple[list[str], np.ndarray]:
    """The classes that the lines name, sorted, or all numbers up to the largest; and the place that each gets."""
    names = sorted(columns.class_of)
    if names:
        return names, np.argsort([columns.class_of[name] for name in names])
    largest = max(columns.labels_N)
    if largest == UNKNOWN:
        raise ExamplesError(
            f"{path}: no line has a label, so the classes are unknown; name them in task.labels"
        )
    return [str(number) for number in range(largest + 1)], np.arange(largest + 1)


def _all_have_scores(path: Path, columns: Columns) -> bool:
    lacking = columns.scores_N.count(UNKNOWN)
    if 0 < lacking < len(columns.scores_N):
        line = list(columns.lines_of.values())[columns.scores_N.index(UNKNOWN)]
        raise ExamplesError(
            f"{path}, line {line}, scores: missing, but {len(columns.scores_N) - lacking:,} lines have them; write "
            "{} where every class is wrong, or leave the line out"
        )
    return lacking == 0


def _tags(tags_P: list[list[tuple[int, int, int]]]) -> tuple[np.ndarray, np.ndarray] | None:
    flat = [tag for tags in tags_P for tag in tags]
    return (_offsets(map(len, tags_P)), np.array(flat, np.int32)) if flat else None


def _boxes(boxes_N: list[list[list[float]]]) -> tuple[np.ndarray, np.ndarray]:
    flat = [box for boxes in boxes_N for box in boxes]
    return _offsets(map(len, boxes_N)), np.array(flat, np.float32).reshape(-1, 4)


def _offsets(counts: Iterable[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.fromiter(counts, np.int64))]).astype(np.int64)
