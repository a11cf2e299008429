import numpy as np
import pytest
from small_world import WordTokenizer, open_world

from interbert.corpus import cache, tokens
from interbert.corpus.tokens import TokenTable, token_table


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    with open_world(tmp_path, images=10) as corpus:
        yield corpus


def cache_files(corpus):
    return list(cache.folders(corpus)[0].iterdir())


def test_holds_the_ids_of_every_caption_swapped_ones_too(corpus):
    table = token_table(corpus, WordTokenizer(), 8)
    assert len(table.lengths) == corpus.captions + corpus.swapped > corpus.captions
    for caption in range(len(table.lengths)):
        (ids,) = WordTokenizer().encode([corpus.caption_text(caption)], 8)
        assert table.caption(caption).tolist() == ids
    assert table.lengths.max() == 8 and (table.ids_flat[table.offsets[1:] - 1] == WordTokenizer.sep_id).all()


def test_gathers_rows_of_any_captions(corpus):
    table = token_table(corpus, WordTokenizer(), 36)
    wanted = np.array([7, 3, 3, corpus.captions + 1, 0], dtype=np.int32)
    ids, cu_text = table.gather(wanted)
    assert ids.dtype == cu_text.dtype == np.int32
    for place, caption in enumerate(wanted):
        assert ids[cu_text[place] : cu_text[place + 1]].tolist() == table.caption(caption).tolist()


def test_tokenises_only_once(corpus):
    tokenizer = WordTokenizer()
    first = token_table(corpus, tokenizer, 36)
    encoded = tokenizer.encoded
    second = token_table(corpus, tokenizer, 36)
    assert tokenizer.encoded == encoded == corpus.captions + corpus.swapped
    assert (first.ids_flat == second.ids_flat).all() and (first.offsets == second.offsets).all()


def test_another_tokenizer_or_length_is_another_table(corpus):
    tokenizer = WordTokenizer()
    token_table(corpus, tokenizer, 36)
    assert token_table(corpus, tokenizer, 5).lengths.max() == 5
    tokenizer.fingerprint = "other words"
    token_table(corpus, tokenizer, 36)
    assert tokenizer.encoded == 3 * (corpus.captions + corpus.swapped)
    assert len(cache_files(corpus)) == 3


@pytest.mark.parametrize("damage", ["cut", "id", "offset", "count", "emptied", "foreign"])
def test_a_damaged_cache_is_noticed_and_replaced(corpus, damage):
    tokenizer = WordTokenizer()
    whole = token_table(corpus, tokenizer, 36)
    ids = whole.ids_flat.copy()
    (path,) = cache_files(corpus)
    good = path.read_bytes()
    made = {"cut": good[:-3], "emptied": b"", "foreign": b"x" * 2000}
    # The second caption begins one token later, a word is another one, a caption is said to be missing.
    for what, place in (("offset", tokens._HEADER + 8), ("id", len(good) - 8)):
        made[what] = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    made["count"] = good.replace(b'"captions": 46', b'"captions": 45', 1)
    assert made["count"] != good
    path.unlink()
    path.write_bytes(made[damage])
    assert (token_table(corpus, tokenizer, 36).ids_flat == ids).all()
    assert tokenizer.encoded == 2 * (corpus.captions + corpus.swapped)
    assert path.read_bytes() == good


@pytest.mark.parametrize("fault", ["too short", "falls", "special"])
def test_a_whole_cache_that_makes_no_sense_is_replaced(corpus, fault):
    """Its checksum is right: it was written so."""
    tokenizer = WordTokenizer()
    good = token_table(corpus, tokenizer, 36)
    ids, offsets = good.ids_flat.copy(), good.offsets.copy()
    if fault == "special":
        ids[1] = tokenizer.mask_id  # as once, where a caption says "[MASK]"
    else:
        offsets[1] = 1 if fault == "too short" else offsets[2] + 1
    (path,) = cache_files(corpus)
    path.unlink()
    tokens._write(path, TokenTable(ids, offsets))
    again = token_table(corpus, tokenizer, 36)
    assert (again.ids_flat == good.ids_flat).all() and (again.offsets == good.offsets).all()
    assert tokenizer.encoded == 2 * (corpus.captions + corpus.swapped)


def test_beside_a_read_only_store_the_user_cache_is_used(corpus, tmp_path, monkeypatch):
    (tmp_path / cache.FOLDER).write_text("a file in the way, as root may write anywhere")
    tokenizer = WordTokenizer()
    token_table(corpus, tokenizer, 36)
    token_table(corpus, tokenizer, 36)
    assert tokenizer.encoded == corpus.captions + corpus.swapped
    assert len(list((tmp_path / "user-cache" / "interbert").iterdir())) == 1


def test_nothing_is_left_of_a_cache_that_could_not_be_written(corpus):
    def fail(path):
        path.write_bytes(b"half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        cache.keep(corpus, "tokens", fail)
    assert cache_files(corpus) == []
