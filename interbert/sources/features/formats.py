"""The formats of features by their names, and the source that reads each."""

from collections.abc import Callable
from pathlib import Path

from interbert.sources.features.fields.choices import Choices
from interbert.sources.record import FeatureFiles


def source_of(name: str) -> Callable[[list[Path], Choices], FeatureFiles]:
    if name == "bottom-up-tsv":
        from interbert.sources.features.layouts.tsv import TsvSource as source
    elif name == "vinvl-tsv":
        from interbert.sources.features.layouts.vinvl_tsv import VinvlSource as source
    elif name == "vilbert-lmdb":
        from interbert.sources.features.layouts.pickled_lmdb import pickled_lmdb as source
    elif name == "tensorpack-lmdb":
        from interbert.sources.features.layouts.tensorpack_lmdb import tensorpack_lmdb as source
    elif name == "uniter-lmdb":
        from interbert.sources.features.layouts.uniter import uniter_lmdb as source
    elif name == "volta-h5":
        from interbert.sources.features.layouts.volta_h5 import VoltaSource as source
    elif name == "butd-h5":
        from interbert.sources.features.layouts.butd_h5 import ButdSource as source
    elif name == "scan-npy":
        from interbert.sources.features.layouts.scan_npy import ScanSource as source
    elif name == "hf-table":
        from interbert.sources.features.layouts.parquet import TableSource as source
    else:
        assert name in ("image-files", "uniter-npz"), name
        from interbert.sources.features.layouts.image_files import ImageFiles as source
    return source
