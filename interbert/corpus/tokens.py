"""The token ids of all captions of a data set, computed once and kept beside it.

Lengths are thereby known before anything is read, and no training step pays for tokenising. The cache file is
mapped, so all ranks of a machine share one copy in memory.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from interbert.corpus import cache
from interbert.corpus.example_faults import ExamplesError
from interbert.corpus.examples import Examples
from interbert.printing import printable
from interbert.tokenizer import most_of_long

log = logging.getLogger(__name__)

_MAGIC = b"interbert-tokens 1\n"
_HEADER = 512
_CHUNK = 20_000
_AT_A_TIME = 1 << 22


@dataclass(frozen=True)
class TokenTable:
    """Caption i (swapped ones included) owns ids_flat[offsets[i]:offsets[i + 1]]."""

    ids_flat: np.ndarray
    """int32, each caption as [CLS] … [SEP]."""
    offsets: np.ndarray
    """int64 [captions + swapped + 1]."""
    firsts: np.ndarray | None = None
    """int32: how many tokens of each are of its first segment; None where all are."""
    words_flat: np.ndarray | None = None
    """int32: of each token the word between blanks, in its segment, that it is of; -1 of [CLS] and [SEP]. None where
    nobody asked."""
    begins_flat: np.ndarray | None = None
    """bool: which tokens begin a word; None where each is taken for one."""

    @cached_property
    def lengths(self) -> np.ndarray:
        """int32 [captions + swapped]."""
        return np.diff(self.offsets).astype(np.int32)

    def gather(self, captions_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of these captions one after another (int32 [T]), and their offsets (int32 [P + 1])."""
        cu_text = np.zeros(len(captions_P) + 1, dtype=np.int32)
        np.cumsum(self.lengths[captions_P], out=cu_text[1:])
        return self.ids_flat[self._rows(captions_P, cu_text)], cu_text

    def gather_word_numbers(self, captions_P: np.ndarray, cu_text: np.ndarray) -> np.ndarray:
        """The word between blanks, in its segment, of each token of these captions (int32 [T])."""
        return self.words_flat[self._rows(captions_P, cu_text)]

    def gather_words(self, captions_P: np.ndarray, cu_text: np.ndarray) -> np.ndarray | None:
        """The number of the word, from 0, that each token of these captions is of (int64 [T]); None where each token
        is one."""
        if self.begins_flat is None:
            return None
        return np.cumsum(self.begins_flat[self._rows(captions_P, cu_text)]) - 1

    def _rows(self, captions_P: np.ndarray, cu_text: np.ndarray) -> np.ndarray:
        """Where the tokens of these captions stand."""
        shift = self.offsets[captions_P] - cu_text[:-1]
        rows = np.repeat(shift, np.diff(cu_text))
        rows += np.arange(cu_text[-1])
        return rows

    def gather_types(self, captions_P: np.ndarray, cu_text: np.ndarray) -> np.ndarray:
        """The segment, 0 or 1, of each token of these captions (int64 [T])."""
        if self.firsts is None:
            return np.zeros(cu_text[-1], np.int64)
        lengths_P = np.diff(cu_text)
        second_T = np.repeat(cu_text[:-1] + self.firsts[captions_P], lengths_P)
        return (np.arange(cu_text[-1]) >= second_T).astype(np.int64)

    def caption(self, index: int) -> np.ndarray:
        return self.ids_flat[self.offsets[index] : self.offsets[index + 1]]


def token_table(corpus: Any, tokenizer: Any, max_tokens: int) -> TokenTable:
    """The table of a corpus: read from its cache, or computed and cached.

    A cache file that is damaged, of somebody else, or of other captions, another tokenizer or length, is not used but
    replaced.
    """
    name = f"tokens-{cache.key(corpus.fingerprint, tokenizer.fingerprint, max_tokens)}.bin"
    captions = corpus.captions + corpus.swapped
    return _cached(corpus, name, tokenizer, captions, lambda: _encoded(corpus.texts(), tokenizer, max_tokens))


def text_table(examples: Examples, tokenizer: Any, max_tokens: int, words: bool = False) -> TokenTable:
    """The table of the texts of examples, cached beside their file; with the words that tokens are of where asked.

    What is asked before several choices is cut alike before all of them, so that they differ in nothing else.
    """
    alike = examples.kind == "choose"
    parts = ("texts", examples.fingerprint, tokenizer.fingerprint, max_tokens)
    key = cache.key(*parts, *(["cut alike"] if alike else []), *(["words"] if words else []))
    texts = examples.texts
    _refuse_no_room(examples, max_tokens)
    return _cached(
        examples,
        f"tokens-{key}.bin",
        tokenizer,
        len(texts),
        lambda: _encoded_segments(texts, tokenizer, max_tokens, alike, words),
    )


def _refuse_no_room(examples: Examples, max_tokens: int) -> None:
    """A text is cut between its special tokens, never through them: there is room for a word of each segment."""
    most = max(map(len, examples.texts))
    if max_tokens >= 1 + 2 * most:
        return
    text = next(number for number, segments in enumerate(examples.texts) if len(segments) == most)
    pair = int(np.flatnonzero(examples.text_P == text)[0])
    example = int(np.searchsorted(examples.first_pair, pair, side="right")) - 1
    raise ExamplesError(
        f"{examples.where(example)}, texts: [CLS], a word of each of {most} segment(s) and [SEP] after each are "
        f"{1 + 2 * most} tokens, and data.max_text_tokens is {max_tokens}; raise it"
    )


@dataclass(frozen=True)
class _Encoded:
    """Some texts."""

    ids_flat: np.ndarray
    lengths: np.ndarray
    firsts: np.ndarray | None
    words_flat: np.ndarray | None = None


def _cached(
    of: Any, name: str, tokenizer: Any, texts: int, encode: Callable[[], Iterator[_Encoded]]
) -> TokenTable:
    """The table of that name beside `of`, if it is one of so many texts; else made and kept."""
    for path in cache.find(of, name):
        table = _read(path, name)
        if table is None:
            continue
        fault = _fault(table, texts, tokenizer)
        if not fault:
            return table
        log.warning(
            "%s: %s; it is not used, and what it should hold is computed again", printable(path), fault
        )
    written = cache.keep(of, name, lambda path: _write(path, name, texts, encode()))
    table = _read(written, name) if written else None
    return table or _in_memory(encode(), texts)


def _fault(table: TokenTable, texts: int, tokenizer: Any) -> str:
    """What the table is not: one of so many texts, each of words of the vocabulary between [CLS] and [SEP], with no
    other special token but the [SEP] between segments.

    Tables were once written in which a "[MASK]" of a caption's own stood as the special token.
    """
    ids, offsets = table.ids_flat, table.offsets
    if len(offsets) != texts + 1:
        return f"it is of {len(offsets) - 1:,} texts, of which there are {texts:,}"
    ends = offsets[0] == 0 and offsets[-1] == len(ids)
    if not ends or any((np.diff(offsets[part]) < 2).any() for part in _parts(len(offsets), overlap=1)):
        return "its texts do not lie one behind the other"
    special = np.zeros(tokenizer.vocab_size, dtype=bool)
    special[[i for i in tokenizer.special_ids if i != tokenizer.unk_id]] = True
    found = 0
    for part in _parts(len(ids)):
        low, high = int(ids[part].min()), int(ids[part].max())
        if low < 0 or high >= tokenizer.vocab_size:
            return f"it holds token {low if low < 0 else high}, beyond the vocabulary of {tokenizer.vocab_size:,}"
        found += int(np.count_nonzero(special[ids[part]]))
    if table.firsts is not None and ((table.firsts < 1) | (table.firsts > table.lengths)).any():
        return "its segments are longer than their texts"
    seconds = 0 if table.firsts is None else np.count_nonzero(table.firsts < table.lengths)
    return "" if found == 2 * texts + seconds else "it holds special tokens where there are words"


def _parts(count: int, overlap: int = 0) -> Iterator[slice]:
    for start in range(0, count, _AT_A_TIME):
        yield slice(start, start + _AT_A_TIME + overlap)


def tokenise(corpus: Any, tokenizer: Any, max_tokens: int) -> TokenTable:
    """The table of a corpus, computed, whatever is cached."""
    return _in_memory(_encoded(corpus.texts(), tokenizer, max_tokens), corpus.captions + corpus.swapped)


def tokenise_texts(texts: Sequence[tuple[str, ...]], tokenizer: Any, max_tokens: int) -> TokenTable:
    """The table of texts of one or two segments, computed."""
    return _in_memory(_encoded_segments(texts, tokenizer, max_tokens), len(texts))


def _encoded(texts: Iterable[str], tokenizer: Any, max_tokens: int) -> Iterator[_Encoded]:
    for chunk in _chunks(texts):
        yield _flat(tokenizer.encode(chunk, max_tokens), None)


def _encoded_segments(
    texts: Sequence[tuple[str, ...]],
    tokenizer: Any,
    max_tokens: int,
    alike: bool = False,
    words: bool = False,
) -> Iterator[_Encoded]:
    two = any(len(text) > 1 for text in texts)
    longest = _longest_seconds(texts, tokenizer, max_tokens) if alike and two else {}
    for chunk in _chunks(texts):
        ids, first = tokenizer.encode_segments(chunk, max_tokens, longest)
        encoded = _flat(ids, np.array(first, np.int32) if two else None)
        if words:
            numbers = tokenizer.words_of_segments(chunk, max_tokens, longest)
            encoded = replace(encoded, words_flat=np.concatenate(numbers).astype(np.int32))
        yield encoded


def _longest_seconds(texts: Sequence[tuple[str, ...]], tokenizer: Any, max_tokens: int) -> dict[str, int]:
    """Of first segments that may have to be cut: the tokens of the longest second one after each."""
    sure, firsts = most_of_long(max_tokens - 3), dict.fromkeys(text[0] for text in texts if len(text) == 2)
    longest = {}
    for chunk in _chunks(firsts):
        found = zip(chunk, tokenizer.encode(chunk, sys.maxsize), strict=True)
        longest |= {first: 0 for first, ids in found if len(ids) - 2 > sure}
    for chunk in _chunks(text for text in texts if len(text) == 2 and text[0] in longest):
        seconds = tokenizer.encode([text[1] for text in chunk], sys.maxsize)
        for (first, _), ids in zip(chunk, seconds, strict=True):
            longest[first] = max(longest[first], len(ids) - 2)
    return longest


def _flat(ids: list[list[int]], firsts: np.ndarray | None) -> _Encoded:
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    assert lengths.min() >= 2, "each text has at least [CLS] and [SEP]"
    flat = (token for text in ids for token in text)
    return _Encoded(np.fromiter(flat, dtype=np.int32, count=int(lengths.sum())), lengths, firsts)


def _chunks(texts: Iterable[Any]) -> Iterator[list[Any]]:
    texts = iter(texts)
    while chunk := list(islice(texts, _CHUNK)):
        yield chunk


def _in_memory(encoded: Iterable[_Encoded], texts: int) -> TokenTable:
    parts = list(encoded)
    ids = np.concatenate([np.zeros(0, np.int32), *(part.ids_flat for part in parts)])
    return TokenTable(ids, *_joined(parts, texts), _words(parts))


def _words(parts: list[_Encoded]) -> np.ndarray | None:
    asked = bool(parts) and parts[0].words_flat is not None
    return np.concatenate([part.words_flat for part in parts]) if asked else None


def _joined(parts: list[_Encoded], texts: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Offsets, and firsts where the parts have them."""
    offsets = np.zeros(texts + 1, dtype=np.int64)
    np.cumsum(np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in parts)]), out=offsets[1:])
    two = bool(parts) and parts[0].firsts is not None
    return offsets, np.concatenate([part.firsts for part in parts]) if two else None


def _write(path: Path, name: str, texts: int, encoded: Iterable[_Encoded]) -> None:
    """A magic line, a line of JSON, zeros up to byte 512, then the offsets, the ids, the firsts and the words.

    The ids go to the file as they come: of many texts they would fill the memory.
    """
    parts, tokens = [], 0
    place = _HEADER + 8 * (texts + 1)
    with open(path, "wb") as file:
        file.seek(place)
        for part in encoded:
            part.ids_flat.astype("<i4", copy=False).tofile(file)
            tokens += len(part.ids_flat)
            parts.append(replace(part, ids_flat=part.ids_flat[:0]))
        offsets, firsts = _joined(parts, texts)
        if firsts is not None:
            firsts.astype("<i4", copy=False).tofile(file)
        words = _words(parts)
        if words is not None:
            words.astype("<i4", copy=False).tofile(file)
        file.seek(_HEADER)
        offsets.astype("<i8", copy=False).tofile(file)
    table = TokenTable(_mapped(path, "<i4", place, tokens), offsets, firsts, words)
    header = {"captions": texts, "tokens": tokens, "xxh3_64": _checksum(table), "name": name}
    if firsts is not None:
        header["segments"] = 2
    if words is not None:
        header["words"] = 1
    with open(path, "r+b") as file:
        file.write((_MAGIC + json.dumps(header).encode() + b"\n").ljust(_HEADER, b"\0"))


def _read(path: Path, name: str) -> TokenTable | None:
    """None where the file is not whole, or is another one under this name. (Earlier ones do not say their names.)"""
    try:
        with open(path, "rb") as file:
            magic, header, _ = file.read(_HEADER).split(b"\n", 2)
        header = json.loads(header)
        if header.get("name", name) != name:
            return None
        captions, tokens = int(header["captions"]), int(header["tokens"])
        offsets = _mapped(path, "<i8", _HEADER, captions + 1)
        place = _HEADER + offsets.nbytes
        ids = _mapped(path, "<i4", place, tokens)
        firsts = _mapped(path, "<i4", place + 4 * tokens, captions) if "segments" in header else None
        place += 4 * tokens + (0 if firsts is None else firsts.nbytes)
        words = _mapped(path, "<i4", place, tokens) if "words" in header else None
        table = TokenTable(ids, offsets, firsts, words)
        whole = magic + b"\n" == _MAGIC and _checksum(table) == header["xxh3_64"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return table if whole else None


def _mapped(path: Path, dtype: str, place: int, count: int) -> np.ndarray:
    if count == 0:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", offset=place, shape=count))


def _checksum(table: TokenTable) -> str:
    digest = xxhash.xxh3_64(np.ascontiguousarray(table.offsets))
    digest.update(np.ascontiguousarray(table.ids_flat))
    if table.firsts is not None:
        digest.update(np.ascontiguousarray(table.firsts))
    if table.words_flat is not None:
        digest.update(np.ascontiguousarray(table.words_flat))
    return digest.hexdigest()
