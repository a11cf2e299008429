"""A run, its stores, caches and export, as version 0.1 left them on 2026-11-28, still serve."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.mining.negatives import candidates_for
from interbert.model.loading import load_ours
from interbert.recipe import load_recipe
from interbert.store.verify import verify
from interbert.tokenizer import load_tokenizer
from interbert.train.checkpoints import checkpoint

EARLIER = Path(__file__).parents[1] / "data" / "earlier_run"
EXPECTED = json.loads((EARLIER / "expected.json").read_text())
"""What the version that wrote them went on to: losses up to step 8, retrieval by its export."""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    shutil.copytree(EARLIER, folder, dirs_exist_ok=True)
    (folder / "scenes" / "interbert-cache").rename(folder / "scenes" / ".interbert-cache")
    return folder


def test_its_stores_and_caches_are_read(earlier):
    scenes = earlier / "scenes"
    assert all(verify(path).faults == [] for path in scenes.glob("*.h5"))
    before = {path: path.stat().st_mtime_ns for path in (scenes / ".interbert-cache").iterdir()}
    settings = load_recipe("scenes", ["mismatch.hard_share=0.5"])
    tokenizer = load_tokenizer(scenes / "tokenizer")
    for path in (p for p in sorted(scenes.glob("*.h5")) if not p.stem.startswith("test")):
        with Corpus([path]) as corpus:
            assert len(token_table(corpus, tokenizer, settings.data.max_text_tokens).ids_flat)
            if path.stem.startswith("train"):
                assert candidates_for(corpus, settings) is not None
    after = {path: path.stat().st_mtime_ns for path in (scenes / ".interbert-cache").iterdir()}
    assert len(before) == 4 and after == before


def test_its_run_goes_on(earlier, runs):
    run, sets = earlier / "run", ("--set", f"scenes.folder={earlier / 'scenes'}")
    assert checkpoint.verify(run / "checkpoints" / "step_4")["step"] == 4
    words = ["launch/pretrain.py", "--recipe", str(run / "config.yaml"), *sets, "--set", "data.train=[]"]
    words += ["--set", "data.validation=[]", "--deepspeed_config", "cpu", "--output-dir", str(run)]
    said = runs.run([sys.executable, *words])
    assert "resumed from" in said and json.loads((run / "status.json").read_text())["step"] == 8
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = {str(line["step"]): line["loss"] for line in lines if "loss" in line}
    assert losses == pytest.approx(EXPECTED["losses"], rel=1e-4)


def test_its_export_is_judged_as_then(earlier, runs):
    model, data = EARLIER / "run" / "export", earlier / "scenes" / "test_8x32_seed1.h5"
    assert load_ours(model).config.model_type == "interbert"
    words = ["launch/evaluate.py", "--task", "retrieval", "--model", str(model), "--data", str(data)]
    runs.run([sys.executable, *words, "--precision", "fp32", "--output", str(earlier / "figures.json")])
    figures = json.loads((earlier / "figures.json").read_text())
    assert {key: figures[key] for key in EXPECTED if key in figures} == {
        key: EXPECTED[key] for key in ("text_to_image", "image_to_text")
    }
