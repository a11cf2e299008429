"""The formats of features by their names, and the source that reads each."""

from collections.abc import Callable
from pathlib import Path

from interbert.sources.importers.choices import Choices
from interbert.sources.importers.record import FeatureFiles


def source_of(name: str) -> Callable[[list[Path], Choices], FeatureFiles]:
    if name == "bottom-up-tsv":
        from interbert.sources.importers.tsv import TsvSource as source
    elif name == "vinvl-tsv":
        from interbert.sources.importers.vinvl_tsv import VinvlSource as source
    elif name == "vilbert-lmdb":
        from interbert.sources.importers.pickled_lmdb import pickled_lmdb as source
    elif name == "tensorpack-lmdb":
        from interbert.sources.importers.tensorpack_lmdb import tensorpack_lmdb as source
    elif name == "uniter-lmdb":
        from interbert.sources.importers.uniter import uniter_lmdb as source
    elif name == "volta-h5":
        from interbert.sources.importers.volta_h5 import VoltaSource as source
    elif name == "butd-h5":
        from interbert.sources.importers.butd_h5 import ButdSource as source
    elif name == "scan-npy":
        from interbert.sources.importers.scan_npy import ScanSource as source
    elif name == "hf-table":
        from interbert.sources.importers.parquet import TableSource as source
    else:
        assert name in ("image-files", "uniter-npz"), name
        from interbert.sources.importers.image_files import ImageFiles as source
    return source
