"""Every layout of features that is imported, by its name, and files of it."""

from pathlib import Path

import foreign
from foreign import Image
from foreign_files import LAYOUTS

FORMATS = {
    "bottom-up-tsv": foreign.write_tsv,
    "vilbert-lmdb": foreign.write_vilbert,
    "tensorpack-lmdb": foreign.write_tensorpack,
    "volta-h5": foreign.write_volta,
    "uniter-npz": foreign.write_npz,
    "uniter-lmdb": foreign.write_uniter_lmdb,
}
"""Those that test_importers reads back."""
NAMES = [*FORMATS, *LAYOUTS]


def written(name: str, folder: Path, made: list[Image]) -> list[Path]:
    """The inputs, of a layout or of a format of test_importers."""
    folder.mkdir()
    if name in LAYOUTS:
        return LAYOUTS[name].write(folder, made)
    FORMATS[name](folder / "theirs", made)
    return [folder / "theirs"]


def images_for(name: str) -> list[Image]:
    return foreign.images(12, LAYOUTS[name].regions_each if name in LAYOUTS else None)
