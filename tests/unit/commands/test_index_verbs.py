"""`interbert index`, from stores to items that are found, changed and checked."""

import numpy as np
import pytest

from interbert.__main__ import main
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.search.requests import Search
from interbert.search.searcher import Searcher
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    for name, images, seed in (("a.h5", 12, 1), ("b.h5", 5, 2)):
        write_scenes(folder / "shards" / name, images, seed, feature_width=16)
    tokenizer = load_tokenizer(folder / "shards" / "tokenizer")
    fields = {"vocab_size": tokenizer.vocab_size, "feature_width": 16, "classes": 49}
    for name, seed in (("model", 0), ("other", 1)):
        config = InterBertConfig.from_preset("tiny", **fields, prediction_heads=["match", "search"])
        InterBertForPreTraining.from_seed(config, seed).save_pretrained(folder / name)
        tokenizer.save(folder / name)
    return folder


def test_from_stores_to_items_that_are_found(made, tmp_path, capsys):
    index, a, b = (
        str(path) for path in (tmp_path / "index", made / "shards" / "a.h5", made / "shards" / "b.h5")
    )
    assert main(["index", "build", "--model", str(made / "model"), "--data", a, "--output", index]) == 0
    told = capsys.readouterr().out
    assert "12 items, distilled vectors of 256 numbers" in told and "all are looked at" in told
    assert main(["index", "build", "--model", str(made / "model"), "--data", a, "--output", index]) == 2
    assert "something already" in capsys.readouterr().err
    assert main(["index", "add", index, "--model", str(made / "other"), "--data", b]) == 2
    assert "made by the model" in capsys.readouterr().err
    assert main(["index", "add", index, "--data", b]) == 0  # by the model that it was made by
    assert "5 items put" in capsys.readouterr().out
    assert main(["index", "remove", index, "train-s1-0000003", "nobody"]) == 0
    assert capsys.readouterr().out == "1 items removed; 1 ids were not there\n"
    assert main(["index", "verify", index]) == 0
    assert capsys.readouterr().out.endswith("sound\n")
    with pytest.raises(ValueError, match="made by the model"):
        Searcher.open(tmp_path / "index", made / "other")
    with Searcher.open(tmp_path / "index", made / "model") as searcher:
        searcher.warm()
        found = searcher.submit(Search(("a red circle",), k=20)).result(30)
        assert len(found.hits) == 16 and all(hit.title for hit in found.hits)
        assert "train-s1-0000003" not in {hit.id for hit in found.hits}
        assert searcher.info()["index"]["items"] == 16
        regions = searcher.item(found.hits[0].id)["regions"]
        assert len(regions.boxes) and np.isfinite(regions.features).all()
    with open(tmp_path / "index" / "tokens.bin", "r+b") as file:
        file.write(b"\xff" * 64)
    assert main(["index", "verify", index]) == 1
    assert "put it again" in capsys.readouterr().out


def test_a_build_that_ends_early_leaves_nothing_that_looks_whole(made, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("interbert.search.index.truth.Truth.put", full)
        words = [
            "--model",
            str(made / "model"),
            "--data",
            str(made / "shards"),
            "--output",
            str(tmp_path / "i"),
        ]
        assert main(["index", "build", *words]) == 2
    assert not (tmp_path / "i").exists()
    assert main(["index", "build", *words]) == 0
    assert "17 items" in capsys.readouterr().out
