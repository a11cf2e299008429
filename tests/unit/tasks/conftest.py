"""A small world, its tokenizer, and a random model of it, exported."""

from pathlib import Path

import pytest
from random_model import WIDTH, small_config

from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.model.interbert import InterBertForPreTraining
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import load_tokenizer


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A folder with scenes.h5, tokenizer/ and model/."""
    folder = tmp_path_factory.mktemp("world")
    write_scenes(folder / "scenes.h5", 12, seed=3, feature_width=WIDTH, captions=3, swapped=1)
    with Corpus([folder / "scenes.h5"]) as corpus:
        tokenizer = load_tokenizer(folder / "tokenizer")
        model = InterBertForPreTraining.from_seed(small_config(tokenizer.vocab_size, corpus.classes), seed=5)
    model.save_pretrained(folder / "model")
    tokenizer.save(folder / "model")
    return folder


@pytest.fixture(scope="session")
def corpus(world):
    with Corpus([world / "scenes.h5"]) as corpus:
        yield corpus


@pytest.fixture(scope="session")
def tokens(world, corpus):
    return token_table(corpus, load_tokenizer(world / "tokenizer"), 64)


@pytest.fixture
def model(world):
    return InterBertForPreTraining.from_pretrained(str(world / "model")).eval()
