"""Which tokens of a data set's captions begin a word: computed once and kept beside it, as their ids are.

In Chinese a token is a character, and a word is one or several; elsewhere a word may be several pieces.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from interbert.config import Settings
from interbert.corpus import cache
from interbert.corpus.tokens import TokenTable, token_table
from interbert.segmenter import Cut, segmenter

_CHUNK = 20_000
_ASKED_BY = "masks.words=word"


def table_for(corpus: Any, tokenizer: Any, settings: Settings) -> TokenTable:
    """The token table of a corpus, which knows words where these settings mask whole ones."""
    tokens = token_table(corpus, tokenizer, settings.data.max_text_tokens)
    return with_words(tokens, corpus, tokenizer) if settings.masks.words == "word" else tokens


def with_words(tokens: TokenTable, corpus: Any, tokenizer: Any) -> TokenTable:
    cut, name = segmenter(_ASKED_BY)
    what = cache.key("words", corpus.fingerprint, tokenizer.fingerprint, int(tokens.lengths.max()), name)
    file = f"words-{what}.npy"
    for path in cache.find(corpus, file):
        begins = _read(path, tokens)
        if begins is not None:
            return replace(tokens, begins_flat=begins)
    begins = np.concatenate(list(_begins(tokens, corpus.texts(), tokenizer, cut)))
    cache.keep(corpus, file, lambda path: _write(path, begins))
    return replace(tokens, begins_flat=begins)


def segmenter_name(settings: Settings) -> str | None:
    """What decides where words begin; None where each token is masked for itself."""
    return segmenter(_ASKED_BY)[1] if settings.masks.words == "word" else None


def word_begins(text: str, spans: list[tuple[int, int]], cut: Cut) -> np.ndarray:
    """bool: of the tokens that stand for these characters of the text which are the first of their word."""
    starts = np.array([start for _, start, _ in cut(text)], np.int64)
    word = np.searchsorted(starts, [start for start, _ in spans], side="right")
    return np.diff(word, prepend=-1) != 0


def _begins(tokens: TokenTable, texts: Iterator[str], tokenizer: Any, cut: Cut) -> Iterator[np.ndarray]:
    """Of each caption: [CLS] and [SEP] are words, and a caption that is too long ends within one."""
    yield np.zeros(0, bool)
    place, texts = 0, iter(texts)
    while chunk := list(islice(texts, _CHUNK)):
        for text, spans in zip(chunk, tokenizer.spans(chunk), strict=True):
            kept = int(tokens.lengths[place]) - 2
            yield np.concatenate([[True], word_begins(text, spans[:kept], cut), [True]])
            place += 1


def _read(path: Path, tokens: TokenTable) -> np.ndarray | None:
    """None where it is not whole, or not of these tokens: every caption begins, and ends, with a word."""
    try:
        begins = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    if begins.dtype != bool or begins.shape != tokens.ids_flat.shape:
        return None
    whole = begins[tokens.offsets[:-1]].all() and begins[tokens.offsets[1:] - 1].all()
    return np.asarray(begins) if whole else None


def _write(path: Path, begins: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, begins)
