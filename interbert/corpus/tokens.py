"""The token ids of all captions of a data set, computed once and kept beside it.

Lengths are thereby known before anything is read, and no training step pays for tokenising. The cache file is
mapped, so all ranks of a machine share one copy in memory.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from interbert.corpus import cache
from interbert.corpus.examples import Examples

_MAGIC = b"interbert-tokens 1\n"
_HEADER = 512
_CHUNK = 20_000


@dataclass(frozen=True)
class TokenTable:
    """Caption i (swapped ones included) owns ids_flat[offsets[i]:offsets[i + 1]]."""

    ids_flat: np.ndarray
    """int32, each caption as [CLS] … [SEP]."""
    offsets: np.ndarray
    """int64 [captions + swapped + 1]."""
    firsts: np.ndarray | None = None
    """int32: how many tokens of each are of its first segment; None where all are."""

    @cached_property
    def lengths(self) -> np.ndarray:
        """int32 [captions + swapped]."""
        return np.diff(self.offsets).astype(np.int32)

    def gather(self, captions_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of these captions one after another (int32 [T]), and their offsets (int32 [P + 1])."""
        cu_text = np.zeros(len(captions_P) + 1, dtype=np.int32)
        np.cumsum(self.lengths[captions_P], out=cu_text[1:])
        shift = self.offsets[captions_P] - cu_text[:-1]
        rows = np.repeat(shift, np.diff(cu_text))
        rows += np.arange(cu_text[-1])
        return self.ids_flat[rows], cu_text

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

    A cache file that is damaged, or of other captions, another tokenizer or length, is not used but replaced.
    """
    name = f"tokens-{cache.key(corpus.fingerprint, tokenizer.fingerprint, max_tokens)}.bin"
    captions = corpus.captions + corpus.swapped
    return _cached(corpus, name, tokenizer, captions, lambda: tokenise(corpus, tokenizer, max_tokens))


def text_table(examples: Examples, tokenizer: Any, max_tokens: int) -> TokenTable:
    """The table of the texts of examples, cached beside their file."""
    key = cache.key("texts", examples.fingerprint, tokenizer.fingerprint, max_tokens)
    texts = examples.texts
    return _cached(
        examples,
        f"tokens-{key}.bin",
        tokenizer,
        len(texts),
        lambda: tokenise_texts(texts, tokenizer, max_tokens),
    )


def _cached(of: Any, name: str, tokenizer: Any, texts: int, make: Callable[[], TokenTable]) -> TokenTable:
    """The table of that name beside `of`, if it is one of so many texts; else made and kept."""
    for path in cache.find(of, name):
        table = _read(path)
        if table is not None and _makes_sense(table, texts, tokenizer):
            return table
    table = make()
    cache.keep(of, name, lambda path: _write(path, table))
    return table


def _makes_sense(table: TokenTable, texts: int, tokenizer: Any) -> bool:
    """Whether the table has so many texts, each between [CLS] and [SEP], and no other special token but the
    [SEP] between segments.

    Tables were once written in which a "[MASK]" of a caption's own stood as the special token.
    """
    if len(table.offsets) != texts + 1:
        return False
    if (
        table.offsets[0] != 0
        or table.offsets[-1] != len(table.ids_flat)
        or (np.diff(table.offsets) < 2).any()
    ):
        return False
    special = np.zeros(tokenizer.vocab_size, dtype=bool)
    special[[i for i in tokenizer.special_ids if i != tokenizer.unk_id]] = True
    seconds = 0 if table.firsts is None else np.count_nonzero(table.firsts < table.lengths)
    return int(np.count_nonzero(special[table.ids_flat])) == 2 * texts + seconds


def tokenise(corpus: Any, tokenizer: Any, max_tokens: int) -> TokenTable:
    """The table of a corpus, computed, whatever is cached."""
    encoded = (tokenizer.encode(texts, max_tokens) for texts in _chunks(corpus.texts()))
    return _table(encoded, corpus.captions + corpus.swapped)


def tokenise_texts(texts: Sequence[tuple[str, ...]], tokenizer: Any, max_tokens: int) -> TokenTable:
    """The table of texts of one or two segments, computed."""
    firsts: list[np.ndarray] = []

    def encoded() -> Iterator[list[list[int]]]:
        for chunk in _chunks(texts):
            ids, first = tokenizer.encode_segments(chunk, max_tokens)
            firsts.append(np.array(first, np.int32))
            yield ids

    table = _table(encoded(), len(texts))
    if all(len(text) == 1 for text in texts):
        return table
    return replace(table, firsts=np.concatenate(firsts))


def _table(encoded: Iterable[list[list[int]]], texts: int) -> TokenTable:
    pieces, lengths = [], []
    for ids in encoded:
        lengths.append(np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)))
        flat = (token for text in ids for token in text)
        pieces.append(np.fromiter(flat, dtype=np.int32, count=int(lengths[-1].sum())))
    offsets = np.zeros(texts + 1, dtype=np.int64)
    np.cumsum(np.concatenate(lengths) if lengths else np.zeros(0, np.int64), out=offsets[1:])
    assert len(offsets) == 1 or np.diff(offsets).min() >= 2, "each text has at least [CLS] and [SEP]"
    return TokenTable(np.concatenate(pieces) if pieces else np.zeros(0, np.int32), offsets)


def _chunks(texts: Iterable[Any]) -> Iterator[list[Any]]:
    texts = iter(texts)
    while chunk := list(islice(texts, _CHUNK)):
        yield chunk


def _write(path: Path, table: TokenTable) -> None:
    """A magic line, a line of JSON, zeros up to byte 512, then the offsets, the ids and the firsts."""
    header = {"captions": len(table.offsets) - 1, "tokens": len(table.ids_flat), "xxh3_64": _checksum(table)}
    if table.firsts is not None:
        header["segments"] = 2
    first = _MAGIC + json.dumps(header).encode() + b"\n"
    with open(path, "wb") as file:
        file.write(first.ljust(_HEADER, b"\0"))
        table.offsets.astype("<i8", copy=False).tofile(file)
        table.ids_flat.astype("<i4", copy=False).tofile(file)
        if table.firsts is not None:
            table.firsts.astype("<i4", copy=False).tofile(file)


def _read(path: Path) -> TokenTable | None:
    """None where the file is not whole."""
    try:
        with open(path, "rb") as file:
            magic, header, _ = file.read(_HEADER).split(b"\n", 2)
        header = json.loads(header)
        captions, tokens = int(header["captions"]), int(header["tokens"])
        offsets = np.memmap(path, dtype="<i8", mode="r", offset=_HEADER, shape=captions + 1)
        place = _HEADER + offsets.nbytes
        ids = np.memmap(path, dtype="<i4", mode="r", offset=place, shape=tokens) if tokens else []
        firsts = None
        if "segments" in header:
            firsts = np.memmap(path, dtype="<i4", mode="r", offset=place + 4 * tokens, shape=captions)
            firsts = np.asarray(firsts)
        table = TokenTable(np.asarray(ids, dtype=np.int32), np.asarray(offsets), firsts)
        whole = magic + b"\n" == _MAGIC and _checksum(table) == header["xxh3_64"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return table if whole else None


def _checksum(table: TokenTable) -> str:
    digest = xxhash.xxh3_64(np.ascontiguousarray(table.offsets))
    digest.update(np.ascontiguousarray(table.ids_flat))
    if table.firsts is not None:
        digest.update(np.ascontiguousarray(table.firsts))
    return digest.hexdigest()
