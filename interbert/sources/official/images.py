"""The images of official files, by the ids that they have in a store."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.sources.official.rows import Skipped

_TOLD = 10
_ENDINGS = (".jpg", ".png")


class Images:
    """Looks ids up in the data. Without data nothing is looked up, and the first name that a task tries counts."""

    def __init__(self, data: Sequence[Path] = (), skip_missing: bool = False) -> None:
        self._known: set[str] | None = None
        self._unsized: set[str] = set()
        if data:
            with Corpus(data) as corpus:
                self._known = set()
                for store in corpus.stores:
                    ids, sized = store.image_ids, (store.sizes > 0).all(axis=1)
                    self._known.update(ids)
                    self._unsized.update(ids[number] for number in np.flatnonzero(~sized).tolist())
        self._skip = skip_missing
        self.missing: dict[str, None] = {}
        """Images that the data lacks, by the name that was tried first."""

    def named(self, *names: str) -> str:
        """The first of these names that the data has, with or without an ending; a row without its image is left
        out, and refuse() speaks of it."""
        if self._known is None:
            return names[0]
        for name in names:
            for tried in (name, *(name + ending for ending in _ENDINGS)):
                if tried in self._known:
                    return tried
        self.missing[names[0]] = None
        raise Skipped("image is not in the data")

    def has_shares(self, name: str) -> bool:
        """Whether the boxes of this image are shares of its sides, its size being unknown."""
        return name in self._unsized

    def refuse(self) -> None:
        """ValueError where images were missing and that was not allowed."""
        if self.missing and not self._skip:
            raise ValueError(
                f"the data lacks {len(self.missing):,} of the images: {self.told()}; add their stores to --data, or "
                "leave their rows out by --skip-missing"
            )

    def told(self) -> str:
        return ", ".join(list(self.missing)[:_TOLD]) + (", …" if len(self.missing) > _TOLD else "")
