"""The batches of validation: every held-out caption, whatever the mixture of training is."""

from pathlib import Path

import numpy as np
import pytest
from plain_engine import plain_engine
from small_world import WordTokenizer, damage, settings, write_store

from interbert.corpus.corpus import Corpus
from interbert.ranks.distributed import Ranks
from interbert.tasks.pretraining import validation
from interbert.train.engine.engine import Engine


@pytest.fixture
def held_out(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    for name, swapped in (("a", False), ("b", False)):
        write_store(tmp_path / f"{name}.h5", 20, seed=ord(name), swapped=swapped)
    return [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]


def batches_of(wanted):
    with Corpus(wanted.data.validation) as corpus:
        return validation.validation_batches(wanted, corpus, WordTokenizer())


@pytest.mark.parametrize("weights", [[0.1, 3.0], [2.0], [0.5, 0.5, 1.0]])
def test_validation_weighs_nothing_and_asks_for_no_falsified_versions(held_out, weights):
    data = {"validation": held_out, "weights": weights}
    mismatch = {"swap_share": 0.3, "hard_share": 0.4, "side": "image"}
    wanted = settings(data=data, mismatch=mismatch, train={"validation_micro_batches": 1000})
    captions = np.concatenate([batch.captions_P for batch in batches_of(wanted)])
    assert sorted(captions) == list(range(2 * 20 * 3)), "each once"
    mismatch["side"] = "caption"
    wanted = settings(data=data, mismatch=mismatch, train={"validation_micro_batches": 1000})
    match = np.concatenate([batch.is_match_P for batch in batches_of(wanted)])
    assert len(match) == 2 * 20 * 3 and 0.3 < match.mean() < 0.7


def test_pairs_with_damaged_images_are_counted_apart_and_named_once(held_out, caplog, monkeypatch):
    caplog.set_level("INFO")
    damage(Path(held_out[0]), [3])
    train = {"validation_micro_batches": 1000}
    wanted = settings(data={"validation": held_out, "skip_damaged": 1}, train=train)
    batches = batches_of(wanted)
    judge = validation.Validation(batches)

    monkeypatch.setattr(Engine, "evaluate", lambda *_: {"loss": 1.0})
    left_out = sum((batch.images_P == 3).sum() for batch in batches)
    assert (
        judge.figures(plain_engine(wanted, {}), Ranks.alone()) == {"loss": 1.0, "left_out": left_out}
        and left_out >= 3
    )
    assert sum("left out of validation" in line and "'97-3'" in line for line in caplog.messages) == 1


def test_what_is_wrong_with_validation_names_its_data(tmp_path):
    write_store(tmp_path / "one.h5", 1)
    with pytest.raises(ValueError, match=r"data.validation, .*one.h5: a mismatched pair needs two images"):
        batches_of(settings(data={"validation": [str(tmp_path / "one.h5")]}))
