"""What was imported is trained on: every layout's shards by the real engine, on one pair of ranks."""

import json
import math
from pathlib import Path

import pytest
from all_layouts import NAMES, images_for, written
from foreign import CLASSES

from interbert import __main__ as program
from interbert.tokenizer import write_word_vocabulary

TEXT = "a red dog runs to the blue ball"
WORKER = Path(__file__).with_name("imported_worker.py")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(runs, request) -> dict:
    """name of a layout -> what tests/integration/imported_worker.py recorded of its shards."""
    folder, found = runs.folder / "imported", runs.folder / "imported.json"
    asked = [item for item in request.session.items if item.path == request.path]
    for name in sorted({item.callspec.params["name"] for item in asked}):
        made = images_for(name)
        captions = runs.folder / f"{name}.json"
        texts = {str(int(i.name)): f"{n} {TEXT}" for n, i in enumerate(made)}
        captions.write_text(json.dumps(texts))
        inputs = written(name, runs.folder / f"theirs_{name}", made)
        words = ["import", "--input", *inputs, "--captions", captions, "--classes", CLASSES]
        words += ["--shard-gb", 2e-7, "--output", folder / name]
        assert program.main([*map(str, words)]) == 0
    tokenizer = runs.folder / "words"
    write_word_vocabulary(TEXT.split(), tokenizer)
    words = ["--data", str(folder), "--tokenizer", str(tokenizer), "--output", str(found)]
    runs.run_ranks([str(WORKER), *words])
    return json.loads(found.read_text())


ALIKE = ("volta-tsv-gz", "zipped-tsv", "volta-lmdb")
"""The same numbers in other files."""


@pytest.mark.parametrize("name", NAMES)
def test_three_steps_of_what_was_imported(results, name):
    found = results[name]
    assert len(found["losses"]) == 3 and all(map(math.isfinite, found["losses"]))
    assert sum(found["of_regions"]) > 0  # a step's mask may leave all regions alone
    assert found["moved"] > 0 and found["of_features"] > 0
    alike = [results[other]["losses"] for other in ALIKE if name in ALIKE and other in results]
    assert all(losses == found["losses"] for losses in alike)
