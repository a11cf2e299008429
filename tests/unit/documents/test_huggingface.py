"""The page of Hugging Face's libraries: its code runs, from top to bottom, in a reader's folder."""

import re

import pytest

import interbert.model
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import TaskShape
from interbert.model.shape.usage import class_of, usage
from tests.unit.documents import world
from tests.unit.documents.text import ROOT, blocks

PAGE = ROOT / "docs" / "huggingface.md"


@pytest.fixture
def reader(tmp_path, monkeypatch):
    from interbert.tokenizer import load_tokenizer

    world._stores(tmp_path)
    world._images(tmp_path)
    tokenizer = load_tokenizer(tmp_path / "shards" / "tokenizer")
    world._run(tmp_path / "runs" / "mine" / "export", tokenizer)
    world._examples(tmp_path)
    monkeypatch.chdir(tmp_path)


def test_its_code_runs(reader):
    found = blocks(PAGE.read_text(), "python")
    assert len(found) == 4
    known: dict = {}
    for number, code in enumerate(found):
        exec(compile(code, f"{PAGE.name}, block {number}", "exec"), known)
    assert known["of_images"]["region_features"].shape[-1] == world.WIDTH
    assert known["trainer"].state.global_step == 2


def test_classes_that_it_names_are_there():
    named = set(re.findall(r"`(InterBert\w+)`", PAGE.read_text())) - {"InterBertProcessor"}
    assert len(named) > 8
    assert all(getattr(interbert.model, name).__name__ == name for name in named)


SHAPES = [
    {},
    {"prediction_heads": ["match"]},
    {"task": {"kind": "classify", "classes": ["a", "b"], "soft": True}},
    {"task": {"kind": "classify", "classes": ["a", "b"], "images": 2}},
    {"task": {"kind": "score"}},
    {"task": {"kind": "choose"}},
    {"task": {"kind": "point"}},
]


@pytest.mark.parametrize("fields", SHAPES, ids=lambda fields: str(fields.get("task", fields)))
def test_what_a_card_says_runs(fields, tmp_path, monkeypatch):
    """The usage of each kind of model, on arrays."""
    import numpy as np
    from random_model import WIDTH, small_config

    from interbert.tokenizer import write_word_vocabulary

    config = small_config(99, 6)
    told = {name: getattr(config, name) for name in ("stages", "hidden_size", "pooler_size", "feature_width")}
    if "task" in fields:
        fields = {"task": vars(TaskShape(**fields["task"])), "prediction_heads": []}
    config = InterBertConfig(**told, vocab_size=99, max_position_embeddings=64, **fields)
    kind, wanted = class_of(config)
    getattr(interbert.model, kind)(config).save_pretrained(tmp_path / "a model")
    write_word_vocabulary(["a", "red", "cube"], tmp_path / "words").save(tmp_path / "a model")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(usage(config, "a model"), "python")
    given = {"features": np.ones((3, WIDTH)), "boxes": np.ones((3, 4)), "width": 9, "height": 9}
    given["others"] = interbert.ImageRegions(given["features"], given["boxes"], (9, 9))
    lines = code.splitlines()
    exec("\n".join([*lines[:-1], f"found = {lines[-1]}"]), given)
    assert len(given["found"]) == 1, (kind, wanted)
