"""Hard negatives: for each caption, captions of other images that are near it in TF-IDF, but not too near.

A small set's table is mined exactly when a run begins; `python -m interbert mine` makes one of any size.
"""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from interbert.config import MismatchSettings, Settings
from interbert.corpus import cache
from interbert.files import replaced
from interbert.mining.mapped import map_rows

MOST_CAPTIONS = 200_000
_SCHEMA, _VERSION = "interbert-candidates", 1
_METHOD = 2
"""Counts up when a table is mined in another way, so that no old one is taken from a cache."""


class CandidateError(ValueError):
    """A table of candidates that cannot be used, or cannot be made."""


@dataclass(frozen=True)
class CandidateTable:
    rows: np.ndarray
    """int32 [captions, top]: the candidates of each true caption, nearest first, then -1."""
    fingerprint: str
    """Of the corpus that it was mined from."""
    max_similarity: float
    notes: dict[str, Any] = field(default_factory=dict)
    """How it was mined; kept as attributes of the file."""


def candidates_for(corpus: Any, settings: Settings) -> CandidateTable | None:
    """The table that these settings need; None where they need none."""
    return candidates_by(corpus, settings.mismatch) if needs_candidates(settings) else None


def candidates_by(corpus: Any, mismatch: MismatchSettings) -> CandidateTable:
    """The table named there, or cached, or mined."""
    if mismatch.hard_table:
        return _fitting(read_candidates(mismatch.hard_table, corpus), mismatch)
    what = (corpus.fingerprint, mismatch.hard_top, mismatch.hard_max_similarity, _METHOD)
    if mismatch.hard_words != "character":
        what = (*what, mismatch.hard_words)
    name = f"candidates-{cache.key(*what)}.h5"
    for path in cache.find(corpus, name):
        try:
            return read_candidates(path, corpus)
        except CandidateError:
            continue
    table = mine(corpus, mismatch)
    cache.keep(corpus, name, lambda path: write_candidates(path, table))
    return table


def needs_candidates(settings: Settings) -> bool:
    mismatch = settings.mismatch
    drawn = "itm" in settings.objectives and mismatch.share and mismatch.hard_share
    return bool(drawn) and mismatch.side != "image"


def mine(corpus: Any, settings: MismatchSettings) -> CandidateTable:
    """The exact table: the `hard_top` nearest captions of other images, all below `hard_max_similarity`."""
    refuse_too_many(corpus)
    from interbert.mining.dense import nearest  # scikit-learn: seconds of imports, once they are needed
    from interbert.mining.kin import captions_kin
    from interbert.mining.vectors import tfidf

    weights_CW = tfidf(islice(corpus.texts(), corpus.captions), corpus.captions, settings.hard_words)
    top, below = settings.hard_top, settings.hard_max_similarity
    rows = nearest(weights_CW, weights_CW, captions_kin(corpus), top, below)
    return CandidateTable(rows, corpus.fingerprint, below, {"words": settings.hard_words})


def refuse_too_many(corpus: Any) -> None:
    """More captions than are mined when a run begins."""
    if corpus.captions > MOST_CAPTIONS:
        paths = " ".join(map(str, corpus.paths))
        raise CandidateError(
            f"the data set has {corpus.captions:,} captions; at most {MOST_CAPTIONS:,} are mined when a run begins: "
            f"run `python -m interbert mine --data {paths} --output TABLE.h5` and give "
            "mismatch.hard_table=TABLE.h5, or mismatch.hard_share=0"
        )


def write_candidates(path: str | Path, table: CandidateTable) -> None:
    """Whole or not there."""
    with replaced(Path(path)) as partial, h5py.File(partial, "w") as file:
        file.attrs.update(
            schema=_SCHEMA,
            version=_VERSION,
            fingerprint=table.fingerprint,
            max_similarity=table.max_similarity,
            **table.notes,
        )
        file["candidates"] = table.rows


def read_candidates(path: str | Path, corpus: Any) -> CandidateTable:
    """A table written by `write_candidates`, refused if it is not of this corpus."""
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            schema, version = attributes.pop("schema", None), attributes.pop("version", None)
            if schema != _SCHEMA or version != _VERSION:
                raise CandidateError(
                    f"{path}: schema {schema!r}, version {version}; a table of candidates has "
                    f"{_SCHEMA!r}, {_VERSION}"
                )
            fingerprint, below = attributes.pop("fingerprint"), float(attributes.pop("max_similarity"))
            rows = map_rows(path, file, "candidates", CandidateError)
    except (OSError, KeyError) as error:
        raise CandidateError(f"{path}: not a whole table of candidates ({error}); mine it again") from None
    if fingerprint != corpus.fingerprint:
        raise CandidateError(
            f"{path}: mined from other captions (fingerprint {fingerprint}, the data set has "
            f"{corpus.fingerprint}); mine it again"
        )
    beyond = rows.max(initial=-1) >= corpus.captions or rows.min(initial=-1) < -1
    if len(rows) != corpus.captions or beyond:
        raise CandidateError(f"{path}: {rows.shape} candidates for {corpus.captions} captions; mine it again")
    return CandidateTable(rows, fingerprint, below, attributes)


def _fitting(table: CandidateTable, mismatch: MismatchSettings) -> CandidateTable:
    path, wide = mismatch.hard_table, table.rows.shape[1]
    if not np.isclose(table.max_similarity, mismatch.hard_max_similarity):
        raise CandidateError(
            f"{path}: mined below a similarity of {table.max_similarity:g}, mismatch.hard_max_similarity is "
            f"{mismatch.hard_max_similarity:g}; set it so, or mine again with --max-similarity"
        )
    by = table.notes.get("words", "character")
    if by != mismatch.hard_words:
        raise CandidateError(
            f"{path}: mined by {by}, mismatch.hard_words is {mismatch.hard_words}; set it so, or mine "
            "again with --words"
        )
    if wide < mismatch.hard_top:
        raise CandidateError(
            f"{path}: holds {wide} candidates a caption, mismatch.hard_top is {mismatch.hard_top}; lower it, or "
            "mine again with --top"
        )
    return CandidateTable(
        table.rows[:, : mismatch.hard_top], table.fingerprint, table.max_similarity, table.notes
    )
