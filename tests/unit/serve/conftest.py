import shutil

import pytest
from small_search import open_searcher, write_index, write_searcher
from small_server import served

from interbert.__main__ import main
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.search.requests import Options
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import load_tokenizer


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    encoder = write_searcher(folder)
    write_index(folder, encoder)
    return folder, encoder


@pytest.fixture(scope="module")
def client(made):
    with open_searcher(*made, Options(queued_seconds=60)) as searcher, served(searcher) as client:
        yield client


@pytest.fixture
def own(made, tmp_path):
    """An index that no other server has open."""
    folder, encoder = made
    shutil.copytree(folder / "index", tmp_path / "index")
    return tmp_path, encoder


@pytest.fixture(scope="module")
def made_of_scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verb")
    write_scenes(folder / "a.h5", 40, 1, feature_width=16)
    tokenizer = load_tokenizer(folder / "tokenizer")
    fields = {"vocab_size": tokenizer.vocab_size, "feature_width": 16, "classes": 49}
    config = InterBertConfig.from_preset("tiny", **fields, prediction_heads=["match", "search"])
    InterBertForPreTraining.from_seed(config, 0).save_pretrained(folder / "model")
    tokenizer.save(folder / "model")
    words = [
        "--model",
        str(folder / "model"),
        "--data",
        str(folder / "a.h5"),
        "--output",
        str(folder / "index"),
    ]
    assert main(["index", "build", *words]) == 0
    return folder
