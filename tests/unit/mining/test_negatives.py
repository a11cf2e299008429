from dataclasses import replace

import h5py
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from small_world import open_world, settings

from interbert.config import MismatchSettings
from interbert.corpus import cache
from interbert.corpus.corpus import Corpus
from interbert.mining import dense, negatives
from interbert.mining.kin import kin_of_captions
from interbert.mining.negatives import (
    CandidateError,
    candidates_by,
    candidates_for,
    mine,
    read_candidates,
    write_candidates,
)
from interbert.mining.vectors import tfidf
from interbert.sources.scenes.write import write_scenes


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    with open_world(tmp_path, images=60) as corpus:
        yield corpus


def exact(texts, image, top, below):
    """The values of the nearest captions, by sorting every row."""
    weights = TfidfVectorizer(token_pattern=r"\w+").fit_transform(texts).toarray()
    similarity = weights @ weights.T
    similarity[image[:, None] == image[None, :]] = 0
    similarity[similarity >= below] = 0
    return similarity, -np.sort(-similarity, axis=1)[:, :top]


@pytest.mark.parametrize("few_words", [512, 0])
def test_finds_exactly_the_nearest_below_the_threshold(corpus, monkeypatch, few_words):
    monkeypatch.setattr(dense, "FEW_WORDS", few_words)
    monkeypatch.setattr(dense, "BLOCK_BYTES", 20_000)
    mismatch = settings(mismatch={"hard_share": 0.2, "hard_max_similarity": 0.43}).mismatch
    table = mine(corpus, mismatch)
    texts = [corpus.caption_text(c) for c in range(corpus.captions)]
    image = corpus.caption_image[: corpus.captions]
    similarity, best = exact(texts, image, 30, 0.43)
    assert table.rows.shape == (corpus.captions, 30) and table.rows.dtype == np.int32
    assert ((table.rows >= 0) == (best > 0)).all()
    found = np.where(table.rows >= 0, np.take_along_axis(similarity, table.rows.clip(0), axis=1), 0)
    np.testing.assert_allclose(found, best, rtol=3e-5)
    assert (found[table.rows >= 0] > 0).all() and found.max() < 0.43
    assert (image[table.rows] != image[:, None])[table.rows >= 0].all()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in table.rows)


def nearest(texts, top, below):
    weights, owners = tfidf(texts, len(texts)), np.arange(len(texts))
    return dense.nearest(weights, weights, kin_of_captions(owners, owners), top, below)


def test_among_captions_equally_near_chance_decides():
    texts = [f"red cat number{i}" for i in range(600)]
    rows = nearest(texts, 10, 0.99)
    counts = np.bincount(rows.ravel(), minlength=600)
    assert counts.max() < 40 and (counts > 0).mean() > 0.9


def test_fewer_candidates_than_asked_for_are_followed_by_minus_one():
    texts = ["red cat here", "red dog there", "green fish swims", "blue"]
    rows = nearest(texts, 3, 0.9)
    assert rows.tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1], [-1, -1, -1]]


def test_captions_without_any_word_have_no_candidates():
    assert (nearest(["...", "!"], 2, 0.5) == -1).all()


def test_chinese_characters_are_words():
    weights = tfidf(["红色连衣裙", "红色鞋子abc", "ABC"], 3)
    assert (weights @ weights.T).toarray()[0, 1] > 0 and (weights @ weights.T).toarray()[1, 2] > 0


def test_too_many_captions_are_refused(corpus, monkeypatch):
    monkeypatch.setattr(negatives, "MOST_CAPTIONS", 100)
    with pytest.raises(
        CandidateError, match=r"180 captions; at most 100 .* interbert mine .* mismatch.hard_share=0"
    ):
        candidates_for(corpus, settings(mismatch={"hard_share": 0.2}))


def test_mined_once_and_cached(corpus, monkeypatch):
    wanted = settings(mismatch={"hard_share": 0.2})
    first = candidates_for(corpus, wanted)
    monkeypatch.setattr(negatives, "mine", None)
    assert (candidates_for(corpus, wanted).rows == first.rows).all()
    monkeypatch.undo()
    other = candidates_for(corpus, settings(mismatch={"hard_share": 0.2, "hard_top": 5}))
    assert other.rows.shape == (180, 5)


def test_a_damaged_cache_is_mined_again(corpus):
    wanted = settings(mismatch={"hard_share": 0.2})
    first = candidates_for(corpus, wanted).rows
    (path,) = cache.folders(corpus)[0].iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert (candidates_for(corpus, wanted).rows == first).all()
    assert (read_candidates(path, corpus).rows == first).all()


def test_no_table_where_none_is_drawn_from(corpus):
    for changes in (
        {"mismatch": {"hard_share": 0.0}},
        {"mismatch": {"share": 0.0, "hard_share": 0.2}},
        {"mismatch": {"side": "image", "hard_share": 0.2}},
        {"mismatch": {"hard_share": 0.2}, "objectives": {"msm": 1.0}},
    ):
        assert candidates_for(corpus, settings(**changes)) is None


def test_a_table_of_other_captions_or_no_table_is_refused(corpus, tmp_path):
    mismatch = settings(mismatch={"hard_share": 0.2}).mismatch
    path = tmp_path / "table.h5"
    write_candidates(path, mine(corpus, mismatch))
    assert (read_candidates(path, corpus).rows == mine(corpus, mismatch).rows).all()
    (tmp_path / "other").mkdir()
    with (
        open_world(tmp_path / "other", images=8) as other,
        pytest.raises(CandidateError, match="mined from other"),
    ):
        read_candidates(path, other)
    for name, value in (("version", 2), ("schema", "something")):
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value
        with pytest.raises(CandidateError, match=str(value)):
            read_candidates(path, corpus)
    path.write_text("no HDF5")
    with pytest.raises(CandidateError, match=r"table.h5: not a whole table"):
        read_candidates(path, corpus)


def test_a_table_is_mapped_and_names_captions_that_there_are(corpus, tmp_path):
    """Ranks share one copy; and what would be read from the other end, or from another file, is refused."""
    mismatch, path = settings(mismatch={"hard_share": 0.2}).mismatch, tmp_path / "table.h5"
    table = mine(corpus, mismatch)
    write_candidates(path, table)
    assert isinstance(read_candidates(path, corpus).rows.base, np.memmap)
    for wrong in (-2, corpus.captions):
        rows = table.rows.copy()
        rows[7, 3] = wrong
        write_candidates(path, replace(table, rows=rows))
        with pytest.raises(CandidateError, match="mine it again"):
            read_candidates(path, corpus)
    write_candidates(tmp_path / "other.h5", table)
    with h5py.File(path, "r+") as file:
        del file["candidates"]
        file["candidates"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "candidates")
    with pytest.raises(CandidateError, match="'candidates': a link"):
        read_candidates(path, corpus)


def test_chinese_by_characters_and_by_words():
    texts = ["红色的大星星", "一颗红色星星, Left", "大人"]
    characters, by_word = tfidf(texts, 3), tfidf(texts, 3, "word")
    assert characters.shape[1] == len(set("".join(texts)) - set(", Left")) + 1
    similar = (by_word @ by_word.T).toarray()
    assert similar[0, 1] > 0.3 and similar[0, 2] == 0, "大 of 大人 is no word of its own"
    assert (characters @ characters.T).toarray()[0, 2] > 0


def test_a_table_by_words_is_not_taken_for_one_by_characters(tmp_path):
    write_scenes(tmp_path / "a.h5", 8, seed=1, feature_width=2, captions=3, language="zh")
    with Corpus([tmp_path / "a.h5"]) as corpus:
        by = {words: MismatchSettings(hard_words=words, hard_top=5) for words in ("character", "word")}
        tables = {words: candidates_by(corpus, mismatch) for words, mismatch in by.items()}
        assert not np.array_equal(tables["character"].rows, tables["word"].rows)
        assert len(list((tmp_path / ".interbert-cache").glob("candidates-*.h5"))) == 2
        write_candidates(tmp_path / "table.h5", tables["word"])
        table = {"hard_table": str(tmp_path / "table.h5"), "hard_top": 5}
        again = candidates_by(corpus, MismatchSettings(hard_words="word", **table))
        assert np.array_equal(again.rows, tables["word"].rows)
        with pytest.raises(CandidateError, match=r"mined by word, .* is character"):
            candidates_by(corpus, MismatchSettings(**table))
