"""Files of examples over the images of small_world, and a line of every kind."""

import json
from pathlib import Path
from typing import Any

LINES: dict[str, list[dict[str, Any]]] = {
    "classify": [
        {"id": "q1", "images": ["0-1"], "texts": ["w01 w02"], "label": "yes", "type": "colour", "source": 7},
        {"id": "q2", "images": ["1-0"], "texts": ["w03"], "label": "no"},
        {"id": 3, "images": ["0-1"], "texts": ["w01 w02"]},
    ],
    "score": [
        {"id": "s1", "texts": [["w01 w02", "w03"]], "value": 2.5},
        {"id": "s2", "texts": [["w03", "w01"]], "value": 4},
        {"id": "s3", "texts": ["w03"]},
    ],
    "choose": [
        {"id": "c1", "images": ["0-1"], "texts": [["w01", "w02"], ["w01", "w03"], ["w01", "w04"]], "label": 2},
        {"id": "c2", "images": ["0-2"], "texts": [["w05", "w02"], ["w05", "w02 w03"], ["w01", "w02"]], "label": 0},
    ],
    "match": [
        {"id": "m1", "images": ["0-1", "1-2"], "texts": ["w01", "w02"], "pairs": [[0, 0, 1], [1, 0, 0], [0, 1, 0]]},
        {"id": "m2", "images": ["0-4"], "texts": ["w02"], "pairs": [[0, 0]]},
    ],
    "point": [
        {"id": "p1", "images": ["0-1"], "texts": ["w01"], "boxes": [[10, 20, 30, 40], [0, 0, 5, 5.5]]},
        {"id": "p2", "images": ["0-2"], "texts": ["w02"], "boxes": [[1, 2, 201, 100]]},
        {"id": "p3", "images": ["0-2"], "texts": ["w03"]},
    ],
}  # fmt: skip


def write_lines(path: Path, lines: list[Any]) -> Path:
    """Each a line of JSON; what is a str already stands as it is."""
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path
