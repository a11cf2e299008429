"""docs/tour.ipynb, from its first cell to its last."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.thorough
def test_the_tour_goes_from_scenes_to_a_page(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    tour = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    NotebookClient(tour, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = [kind for cell in tour.cells for one in cell.get("outputs", []) for kind in one.get("data", {})]
    assert shown.count("image/png") == 3  # scenes, the curve, attention
    tuned = tmp_path / "tour" / "retrieval"
    figures = json.loads((tuned / "results.json").read_text())["figures"]
    assert figures["text_to_image.r1"]["value"] > 0.1  # among 100
    asked = [json.loads(line).get("text") for line in (tuned / "predictions.jsonl").open()]
    page = (tuned / "results.html").read_text()
    assert sum(text in page for text in asked if text) >= 10
