"""The lines of docs/examples.md open as what they are shown for."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from example_files import write_lines

from interbert.corpus.examples import open_examples

PAGE = (Path(__file__).parents[3] / "docs" / "examples.md").read_text()
LINES = [json.loads(line) for line in re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()]
KIND_OF = {"label": "classify", "scores": "classify", "value": "score", "pairs": "match", "boxes": "point"}


def kind_of(line):
    return "choose" if len(line["texts"]) > 1 else next(KIND_OF[field] for field in KIND_OF if field in line)


def test_the_lines_shown_are_examples_of_every_kind(tmp_path):
    ids = sorted({image for line in LINES for image in line.get("images", [])})
    numbers = {name: image for image, name in enumerate(ids)}
    corpus = SimpleNamespace(
        sizes=np.full((len(ids), 2), 500), region_counts=np.full(len(ids), 50), image_of=numbers.get
    )
    for line in LINES:
        examples = open_examples(write_lines(tmp_path / "e.jsonl", [line]), corpus, kind_of(line))
        assert examples.known_N.all() and examples.line(0) == line
    kinds = {kind_of(line) for line in LINES}
    assert (
        kinds == set(re.findall(r"^\| `(\w+)` \| (?:one text|each|any)", PAGE, re.MULTILINE))
        and len(kinds) == 5
    )
