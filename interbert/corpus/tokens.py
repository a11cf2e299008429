"""The token ids of all captions of a data set, computed once and kept beside it.

Lengths are thereby known before anything is read, and no training step pays for tokenising. The cache file is
mapped, so all ranks of a machine share one copy in memory.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from interbert.corpus import cache

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

    def caption(self, index: int) -> np.ndarray:
        return self.ids_flat[self.offsets[index] : self.offsets[index + 1]]


def token_table(corpus: Any, tokenizer: Any, max_tokens: int) -> TokenTable:
    """The table of a corpus: read from its cache, or computed and cached.

    A cache file that is damaged, or of other captions, another tokenizer or length, is not used but replaced.
    """
    name = f"tokens-{cache.key(corpus.fingerprint, tokenizer.fingerprint, max_tokens)}.bin"
    for path in cache.find(corpus, name):
        table = _read(path)
        if table is not None and _is_of(table, corpus, tokenizer):
            return table
    table = tokenise(corpus, tokenizer, max_tokens)
    cache.keep(corpus, name, lambda path: _write(path, table))
    return table


def _is_of(table: TokenTable, corpus: Any, tokenizer: Any) -> bool:
    """Whether the table has the corpus' captions, each between [CLS] and [SEP], and no other special token.

    Tables were once written in which a "[MASK]" of a caption's own stood as the special token.
    """
    if len(table.offsets) != corpus.captions + corpus.swapped + 1:
        return False
    if (
        table.offsets[0] != 0
        or table.offsets[-1] != len(table.ids_flat)
        or (np.diff(table.offsets) < 2).any()
    ):
        return False
    special = np.zeros(tokenizer.vocab_size, dtype=bool)
    special[[i for i in tokenizer.special_ids if i != tokenizer.unk_id]] = True
    return int(np.count_nonzero(special[table.ids_flat])) == 2 * (len(table.offsets) - 1)


def tokenise(corpus: Any, tokenizer: Any, max_tokens: int) -> TokenTable:
    """The table of a corpus, computed, whatever is cached."""
    pieces, lengths = [], []
    for texts in _chunks(corpus.texts()):
        ids = tokenizer.encode(texts, max_tokens)
        lengths.append(np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)))
        flat = (token for caption in ids for token in caption)
        pieces.append(np.fromiter(flat, dtype=np.int32, count=int(lengths[-1].sum())))
    captions = corpus.captions + corpus.swapped
    offsets = np.zeros(captions + 1, dtype=np.int64)
    np.cumsum(np.concatenate(lengths) if lengths else np.zeros(0, np.int64), out=offsets[1:])
    assert len(offsets) == 1 or np.diff(offsets).min() >= 2, "each caption has at least [CLS] and [SEP]"
    return TokenTable(np.concatenate(pieces) if pieces else np.zeros(0, np.int32), offsets)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    texts = iter(texts)
    while chunk := list(islice(texts, _CHUNK)):
        yield chunk


def _write(path: Path, table: TokenTable) -> None:
    """A magic line, a line of JSON, zeros up to byte 512, then the offsets and the ids."""
    header = {"captions": len(table.offsets) - 1, "tokens": len(table.ids_flat), "xxh3_64": _checksum(table)}
    first = _MAGIC + json.dumps(header).encode() + b"\n"
    with open(path, "wb") as file:
        file.write(first.ljust(_HEADER, b"\0"))
        table.offsets.astype("<i8", copy=False).tofile(file)
        table.ids_flat.astype("<i4", copy=False).tofile(file)


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
        table = TokenTable(np.asarray(ids, dtype=np.int32), np.asarray(offsets))
        whole = magic + b"\n" == _MAGIC and _checksum(table) == header["xxh3_64"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return table if whole else None


def _checksum(table: TokenTable) -> str:
    digest = xxhash.xxh3_64(np.ascontiguousarray(table.offsets))
    digest.update(np.ascontiguousarray(table.ids_flat))
    return digest.hexdigest()
