from itertools import pairwise

import numpy as np
import pytest
from example_files import write_lines
from small_world import WORDS, WordTokenizer, open_world

from interbert.corpus import cache, tokens
from interbert.corpus.example_faults import ExamplesError
from interbert.corpus.examples import open_examples
from interbert.corpus.tokens import text_table, token_table
from interbert.tokenizer import join_segments


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


@pytest.mark.parametrize("fault", ["too short", "falls", "special", "beyond", "negative"])
def test_a_whole_cache_that_makes_no_sense_is_replaced(corpus, fault, caplog):
    """Its checksum is right: it was written so."""
    tokenizer = WordTokenizer()
    good = token_table(corpus, tokenizer, 36)
    ids, offsets = good.ids_flat.copy(), good.offsets.copy()
    if fault == "special":
        ids[1] = tokenizer.mask_id  # as once, where a caption says "[MASK]"
    elif fault in ("beyond", "negative"):
        ids[3] = tokenizer.vocab_size if fault == "beyond" else -1
    else:
        offsets[1] = 1 if fault == "too short" else offsets[2] + 1
    (path,) = cache_files(corpus)
    path.unlink()
    tokens._write(path, path.name, len(offsets) - 1, [tokens._Encoded(ids, np.diff(offsets), None)])
    again = token_table(corpus, tokenizer, 36)
    assert (again.ids_flat == good.ids_flat).all() and (again.offsets == good.offsets).all()
    assert tokenizer.encoded == 2 * (corpus.captions + corpus.swapped)


def test_a_table_of_other_captions_under_this_name_is_not_taken(tmp_path, corpus):
    tokenizer = WordTokenizer()
    good = token_table(corpus, tokenizer, 36).ids_flat.copy()
    (path,) = cache_files(corpus)
    texts = corpus.captions + corpus.swapped
    other = np.full(4 * texts, 7, np.int32)
    other[::4], other[3::4] = tokenizer.cls_id, tokenizer.sep_id
    tokens._write(path, "tokens-of-others.bin", texts, [tokens._Encoded(other, np.full(texts, 4), None)])
    assert (token_table(corpus, tokenizer, 36).ids_flat == good).all()
    assert tokenizer.encoded == 2 * texts


@pytest.mark.parametrize("how", ["another user", "anybody", "whose the data is"])
def test_a_table_is_believed_only_of_oneself_and_of_whose_the_data_is(corpus, monkeypatch, caplog, how):
    tokenizer = WordTokenizer()
    token_table(corpus, tokenizer, 36)
    (path,) = cache_files(corpus)
    if how == "anybody":
        path.chmod(0o666)
    else:
        monkeypatch.setattr(cache.os, "geteuid", lambda: 4711)
        plain = cache.os.stat

        def stat(file, *more, **most):
            found = list(plain(file, *more, **most))
            if how == "another user" or file != path:
                found[4] = 4712 if how != "another user" or file == path else 4711
            return cache.os.stat_result(found)

        monkeypatch.setattr(cache.os, "stat", stat)
        monkeypatch.setattr(type(path), "stat", lambda self, **_: stat(self))
    token_table(corpus, tokenizer, 36)
    again = how != "whose the data is"
    assert tokenizer.encoded == (1 + again) * (corpus.captions + corpus.swapped)
    if again:
        word = "anybody may write to it" if how == "anybody" else "it belongs to user"
        assert str(path) in caplog.text and word in caplog.text and "chmod o-w" in caplog.text


def test_many_texts_are_not_held_in_memory(corpus, monkeypatch):
    """They go to the file as they are made, which is then mapped."""
    monkeypatch.setattr(tokens, "_CHUNK", 5)
    table = token_table(corpus, WordTokenizer(), 36)
    assert isinstance(table.ids_flat.base, np.memmap) and isinstance(table.offsets.base, np.memmap)
    again = tokens.tokenise(corpus, WordTokenizer(), 36)
    assert (table.ids_flat == again.ids_flat).all() and (table.offsets == again.offsets).all()


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


TEXTS = [
    ("w01 w02 w03",),
    ("w04", "w05 w06"),
    ("w01 w02 w03 w04 w05 w06", "w07"),
    ("w01", "w02 w03 w04 w05 w06"),
]


@pytest.fixture
def texts_of(tmp_path):
    lines = [{"id": str(n), "texts": [list(text)]} for n, text in enumerate(TEXTS)]
    return open_examples(write_lines(tmp_path / "examples.jsonl", lines), None, "score")


def test_two_segments_and_their_types(texts_of):
    tokenizer = WordTokenizer()
    table = text_table(texts_of, tokenizer, 8)
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    ids, cu_text = table.gather(np.array([1, 0, 2, 3]))
    types = table.gather_types(np.array([1, 0, 2, 3]), cu_text)
    found = [(ids[a:b].tolist(), types[a:b].tolist()) for a, b in pairwise(cu_text)]
    assert found == [
        ([cls, 9, sep, 10, 11, sep], [0, 0, 0, 1, 1, 1]),
        ([cls, 6, 7, 8, sep], [0] * 5),
        # The longer segment has lost its last words.
        ([cls, 6, 7, 8, 9, sep, 12, sep], [0] * 6 + [1] * 2),
        ([cls, 6, sep, 7, 8, 9, 10, sep], [0] * 3 + [1] * 5),
    ]
    assert types.dtype == np.int64


def test_no_separator_is_cut_off(texts_of):
    """Of [CLS], [SEP] and a word each, none is left out: what leaves no room for them is refused by its line."""
    assert (np.diff(text_table(texts_of, WordTokenizer(), 5).offsets) <= 5).all()
    told = r"examples.jsonl, line 2, texts: .* 2 segment\(s\).* are 5 tokens, and data.max_text_tokens is 4; raise"
    with pytest.raises(ExamplesError, match=told):
        text_table(texts_of, WordTokenizer(), 4)


def test_what_is_asked_is_cut_alike_before_all_choices(tmp_path):
    asked, other = " ".join(WORDS[:8]), " ".join(WORDS[8:11])
    choices = [WORDS[20], " ".join(WORDS[20:24]), " ".join(WORDS[20:30])]
    lines = [
        {"id": "a", "texts": [[asked, choice] for choice in choices], "label": 0},
        {"id": "b", "texts": [[other, choice] for choice in choices], "label": 0},
    ]
    examples = open_examples(write_lines(tmp_path / "x.jsonl", lines), None, "choose")
    table = text_table(examples, WordTokenizer(), 13)
    kept = [table.caption(text)[: table.firsts[text]].tolist() for text in examples.text_P]
    assert kept[0] == kept[1] == kept[2] == [2, *range(5, 10), 3], (
        "five of the ten tokens that there is room for"
    )
    assert [len(table.caption(text)) for text in examples.text_P] == [9, 12, 13, 7, 10, 13]
    assert all(first == [2, 13, 14, 15, 3] for first in kept[3:])
    lines = [{"id": n, "texts": [text], "value": 1} for n, text in enumerate(lines[0]["texts"])]
    apart = open_examples(write_lines(tmp_path / "y.jsonl", lines), None, "score")
    assert text_table(apart, WordTokenizer(), 13).firsts.tolist() == [10, 8, 7], (
        "elsewhere the longer one is cut"
    )


def test_texts_are_tokenised_once_and_cached_beside_their_file(texts_of):
    tokenizer = WordTokenizer()
    first, second = (text_table(texts_of, tokenizer, 9) for _ in range(2))
    firsts = first.firsts.copy()  # the table itself is the file
    assert tokenizer.encoded == len(TEXTS)
    for name in ("ids_flat", "offsets", "firsts"):
        assert (getattr(first, name) == getattr(second, name)).all(), name
    (path,) = cache_files(texts_of)
    good = path.read_bytes()
    path.write_bytes(good[:-2] + b"\1" + good[-1:])  # the length of a first segment
    assert (text_table(texts_of, tokenizer, 9).firsts == firsts).all()
    assert tokenizer.encoded == 2 * len(TEXTS) and path.read_bytes() == good


def test_captions_are_of_one_segment(corpus):
    table = token_table(corpus, WordTokenizer(), 36)
    _, cu_text = table.gather(np.array([2, 1]))
    assert (
        table.firsts is None and table.gather_types(np.array([2, 1]), cu_text).tolist() == [0] * cu_text[-1]
    )


@pytest.mark.parametrize("room", range(2, 12))
def test_words_are_taken_from_the_longer_segment(room):
    for lengths in ((1, 9), (9, 1), (4, 5), (5, 4), (6, 6)):
        first, second = ([n] * length for n, length in enumerate(lengths))
        while len(first) + len(second) > room:
            longer = first if len(first) > len(second) else second
            longer.pop()
        ids, size = join_segments([[0] * lengths[0], [1] * lengths[1]], room + 3, 7, 8)
        assert (ids, size) == ([7, *first, 8, *second, 8], len(first) + 2)


def test_two_segments_need_five_tokens():
    with pytest.raises(ValueError, match=r"max_tokens is 4: .* of 2 segments and .* need 5"):
        join_segments([[1], [2]], 4, 7, 8)
