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
    assert "right" in (tmp_path / "tour" / "retrieval" / "results.html").read_text()
    losses = [json.loads(line) for line in (tmp_path / "tour" / "pretrained" / "metrics.jsonl").open()]
    losses = [line["loss"] for line in losses if line.get("loss") is not None]
    assert losses[-1] < 0.8 * losses[0]
    results = json.loads((tmp_path / "tour" / "retrieval" / "results.json").read_text())
    assert results["figures"]["text_to_image.r1"]["value"] > 0.03  # among 100
