"""Examples of each kind from plain lists, with a file of lines behind them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interbert.corpus.examples import Examples
from interbert.tasks.results.outputs import Outputs


def make_outputs(rows: Sequence[Sequence[float]] | np.ndarray, damaged: Sequence[int] = ()) -> Outputs:
    """damaged: numbers of the examples whose image could not be had."""
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    flat = np.concatenate([np.zeros(0), *rows]).astype(np.float32)
    return Outputs(flat, offsets, np.isin(np.arange(len(rows)), damaged))


def make_examples(
    kind: str,
    folder: Path | None = None,
    *,
    pairs: Sequence[int] | int = 1,
    count: int | None = None,
    classes: Sequence[str] = (),
    labels: Sequence[int] | None = None,
    scores: Sequence[dict[int, float]] | None = None,
    values: Sequence[float] | None = None,
    is_match: Sequence[int] | None = None,
    boxes: Sequence[Sequence[Sequence[float]]] | None = None,
    types: Sequence[str] | None = None,
    images: Sequence[int] | None = None,
    texts: Sequence[tuple[str, ...]] | None = None,
    own_fields: Sequence[dict[str, Any]] | None = None,
    ids: Sequence[str] | None = None,
) -> Examples:
    """pairs: of each example. images, texts: of each pair; by default none, and a text of its own."""
    given = next((each for each in (labels, scores, values, boxes, types) if each is not None), ())
    count = count or (len(given) if isinstance(pairs, int) else len(pairs))
    pairs_N = [pairs] * count if isinstance(pairs, int) else list(pairs)
    unknown = [-100] * count
    has_labels = kind == "choose" or (kind == "classify" and scores is None)
    first_pair = np.cumsum([0, *pairs_N])
    total = int(first_pair[-1])
    texts = list(texts or [(f"text {number}",) for number in range(total)])
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    ids = list(ids or [f"example-{number}" for number in range(count)])
    path, line_at = Path("examples.jsonl"), np.zeros(count + 1, np.int64)
    if folder is not None:
        path = folder / "examples.jsonl"
        extra = own_fields or [{}] * count
        lines = [
            json.dumps({"id": id_, "texts": [list(texts[first_pair[number]])], **extra[number]}) + "\n"
            for number, id_ in enumerate(ids)
        ]
        path.write_text("".join(lines))
        line_at = np.cumsum([0, *(len(line.encode()) for line in lines)])
    return Examples(
        path=path,
        kind=kind,
        ids=ids,
        first_pair=first_pair,
        image_P=np.array(images if images is not None else [-1] * total, np.int32),
        text_P=np.array([distinct[text] for text in texts], np.int32),
        texts=list(distinct),
        classes=list(classes),
        labels_N=np.array(unknown if labels is None else labels, np.int64) if has_labels else None,
        scores=None if scores is None else _ragged_scores(scores),
        values_N=None if values is None else np.array(values, np.float32),
        is_match_P=None if is_match is None else np.array(is_match, np.int64),
        boxes=None if boxes is None else _ragged_boxes(boxes),
        types=[""] * count if types is None else [str(name) for name in types],
        line_at=line_at,
        fingerprint="made",
    )


def _ragged_scores(scores: Sequence[dict[int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(each) for each in scores)])
    pairs = [pair for each in scores for pair in each.items()]
    return (
        offsets,
        np.array([class_ for class_, _ in pairs], np.int32),
        np.array([weight for _, weight in pairs], np.float32),
    )


def _ragged_boxes(boxes: Sequence[Sequence[Sequence[float]]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(each) for each in boxes)])
    return offsets, np.array([box for each in boxes for box in each], np.float32).reshape(-1, 4)
