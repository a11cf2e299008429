"""A small world, a random model of it, exported, and one that was tuned to answer."""

from pathlib import Path

import pytest
from random_model import WIDTH, small_config

from interbert.corpus.corpus import Corpus
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import TaskShape
from interbert.model.task_head import InterBertFineTuned
from interbert.sources.scenes.write import write_scenes
from interbert.tasks.finetuning.starting import shape_with_head
from interbert.tokenizer import load_tokenizer


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A folder with scenes.h5, tokenizer/, model/ and tuned/."""
    folder = tmp_path_factory.mktemp("world")
    write_scenes(folder / "scenes.h5", 8, seed=3, feature_width=WIDTH, captions=2)
    tokenizer = load_tokenizer(folder / "tokenizer")
    config = small_config(tokenizer.vocab_size, 49)
    head = shape_with_head(config, TaskShape("classify", classes=["no", "maybe", "yes"], soft=True))
    for name, model in (
        ("model", InterBertForPreTraining.from_seed(config, 5)),
        ("tuned", InterBertFineTuned.from_seed(InterBertConfig(**head), 5)),
    ):
        model.save_pretrained(folder / name)
        tokenizer.save(folder / name)
    return folder


@pytest.fixture
def corpus(world):
    with Corpus([world / "scenes.h5"]) as corpus:
        yield corpus
