"""Where words begin, read from captions beside their tokens; and what a run makes of it."""

import sys

import numpy as np
import pytest

from interbert.batches.endless import Position
from interbert.batches.loader import Loader
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.config import SettingsError
from interbert.corpus import words
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.corpus.words import table_for, with_words
from interbert.recipe import load_recipe
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import load_tokenizer, write_word_vocabulary
from interbert.train.checkpoints.identity import compare_identity, describe_settings

START = Position()
TEXTS = ["一颗红色的大星星在左边", "a left-handed guitar, 红色的", "[MASK]圆环"]


class _Captions:
    """As much of a corpus as its words ask for."""

    def __init__(self, folder, texts):
        self.paths, self.fingerprint, self._texts = [folder / "a.h5"], "f", texts
        self.captions, self.swapped = len(texts), 0
        (folder / "a.h5").touch()

    def texts(self):
        return iter(self._texts)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    characters = sorted(set("".join(TEXTS)) - set("abcdefghijklmnopqrstuvwxyz, "))
    return write_word_vocabulary([*characters, ","], tmp_path_factory.mktemp("words") / "tokenizer")


def cut_by_words(table, tokenizer, caption):
    ids, begins = (
        table.caption(caption),
        table.begins_flat[table.offsets[caption] : table.offsets[caption + 1]],
    )
    groups = np.split(tokenizer.words(ids), np.flatnonzero(begins)[1:])
    return ["".join(group).replace("##", "") for group in groups]


def test_words_of_captions(tmp_path, tokenizer):
    corpus = _Captions(tmp_path, TEXTS)
    table = with_words(token_table(corpus, tokenizer, 60), corpus, tokenizer)
    assert cut_by_words(table, tokenizer, 0) == [
        "[CLS]",
        "一颗",
        "红色",
        "的",
        "大",
        "星星",
        "在",
        "左边",
        "[SEP]",
    ]
    assert cut_by_words(table, tokenizer, 1) == [
        "[CLS]",
        "a",
        "left-handed",
        "guitar",
        ",",
        "红色",
        "的",
        "[SEP]",
    ]
    assert cut_by_words(table, tokenizer, 2)[-2:] == ["圆环", "[SEP]"]
    short = with_words(token_table(corpus, tokenizer, 5), corpus, tokenizer)
    assert cut_by_words(short, tokenizer, 0) == ["[CLS]", "一颗", "红", "[SEP]"]
    cu = np.array([0, 5, 10])
    assert short.gather_words(np.array([0, 0]), cu).tolist() == [0, 1, 1, 2, 3, 4, 5, 5, 6, 7]
    assert token_table(corpus, tokenizer, 5).gather_words(np.array([0]), cu[:2]) is None


def test_they_are_cut_once(tmp_path, tokenizer, monkeypatch):
    corpus = _Captions(tmp_path, TEXTS)
    first = with_words(token_table(corpus, tokenizer, 60), corpus, tokenizer)
    monkeypatch.setattr(words, "word_begins", lambda *_: pytest.fail("cut again"))
    again = with_words(token_table(corpus, tokenizer, 60), corpus, tokenizer)
    assert (again.begins_flat == first.begins_flat).all()
    monkeypatch.undo()
    (kept,) = (tmp_path / ".interbert-cache").glob("words-*.npy")
    for damaged in (kept.read_bytes()[:-3], kept.read_bytes()[:-1] + b"\0", b""):
        kept.write_bytes(damaged)
        healed = with_words(token_table(corpus, tokenizer, 60), corpus, tokenizer)
        assert (healed.begins_flat == first.begins_flat).all()


def test_without_rjieba_it_is_told_what_to_do(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "rjieba", None)
    corpus = _Captions(tmp_path, TEXTS)
    with pytest.raises(ValueError, match=r"masks.words=word .* pip install .*\[zh\]"):
        with_words(token_table(corpus, tokenizer, 60), corpus, tokenizer)


def test_batches_of_whole_words_are_the_same_for_any_ranks_and_on_resume(tmp_path):
    write_scenes(tmp_path / "a.h5", 24, seed=1, feature_width=4, captions=3, language="zh")
    settings = load_recipe(
        "scenes_zh", ["masks.words=word", "data.token_budget=400", "mismatch.hard_share=0"]
    )
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    with Corpus([tmp_path / "a.h5"]) as corpus:
        tokens = table_for(corpus, tokenizer, settings)

        def batches(rank, ranks, steps, start=START):
            found, place = {}, start
            plan = Plan(corpus, tokens, settings)
            preparer = Preparer(corpus, tokens, plan, settings, Vocabulary.of(tokenizer))
            with Loader(preparer, plan, settings, rank, ranks, start) as loader:
                for _, step in zip(range(steps), loader, strict=False):
                    for batch in step.batches:
                        found[batch.epoch, batch.index] = (
                            batch.input_ids_T.clone(),
                            batch.masked_tokens_M.clone(),
                        )
                    place = step.position
            return found, place

        alone, _ = batches(0, 1, 4)
        both = batches(0, 2, 4)[0] | batches(1, 2, 4)[0]
        begun, place = batches(0, 1, 2)
        resumed = begun | batches(0, 1, 2, place)[0]
        assert alone.keys() == both.keys() == resumed.keys() and len(alone) == 8
        for key, (ids, rows) in alone.items():
            for other in (both, resumed):
                assert (other[key][0] == ids).all() and (other[key][1] == rows).all()
        masked = np.concatenate([rows.numpy() for _, rows in alone.values()])
        assert len(masked) > 100 and (np.diff(masked) == 1).mean() > 0.5, "runs of characters"


def test_a_run_of_words_is_not_resumed_with_characters(tmp_path):
    words_, characters = (load_recipe("scenes_zh", [f"masks.words={each}"]) for each in ("word", "character"))
    with pytest.raises(SettingsError, match=r"masks\.words"):
        compare_identity(tmp_path, describe_settings(words_), describe_settings(characters))
    earlier = describe_settings(characters)
    del earlier["masks.words"]
    compare_identity(tmp_path, earlier, describe_settings(characters))
    with pytest.raises(SettingsError, match=r"masks\.words"):
        compare_identity(tmp_path, earlier, describe_settings(words_))
