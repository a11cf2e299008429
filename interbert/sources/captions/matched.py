"""The captions of each image, read from an index."""

import sqlite3
from itertools import groupby
from pathlib import Path

from interbert.files import read_json
from interbert.sources.captions.index import BASE, CACHE_KIB, MATCHES
from interbert.sources.captions.match import FileMatch


class MatchedCaptions:
    """Of several files' captions in the order in which the files were given."""

    def __init__(self, folder: Path) -> None:
        self.matches = [FileMatch(**match) for match in read_json(folder / MATCHES)]
        uri = f"{(folder / BASE).absolute().as_uri()}?mode=ro&immutable=1"
        self._base = sqlite3.connect(uri, uri=True)
        self._base.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def of(self, image_id: str) -> list[list[str]]:
        """The image's captions, those of a file together."""
        rows = self._base.execute(
            "SELECT key.file, caption.text FROM image JOIN key ON key.image = image.id "
            "JOIN caption ON caption.key = key.id WHERE image.name = ? ORDER BY key.file, caption.rowid",
            (image_id,),
        )
        return [[text for _, text in of_file] for _, of_file in groupby(rows, key=lambda row: row[0])]

    def close(self) -> None:
        self._base.close()


def joined(inside: list[str], found: list[list[str]]) -> tuple[list[str], int]:
    """The captions that the data itself has, and those of files that bring something new; how many came again.

    A file that says one thing twice is believed; the same words from two places are one caption.
    """
    texts, again = list(inside), 0
    for of_file in found:
        known = {" ".join(text.split()) for text in texts}
        new = [text for text in of_file if text not in known]
        texts += new
        again += len(of_file) - len(new)
    return texts, again
