"""LMDBs of pickled dictionaries by image id: ViLBERT's, InterBERT's and VOLTA's with base64, MMF's with arrays."""

from pathlib import Path
from typing import Any

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.layouts.lmdb_source import LmdbSource
from interbert.sources.foreign_files import safe_pickle
from interbert.sources.record import ImportFault


def pickled_lmdb(inputs: list[Path], choices: Choices) -> LmdbSource:
    return LmdbSource(inputs, choices, _row)


def _row(key: bytes, value: bytes | memoryview) -> dict[str, Any]:
    item = safe_pickle.loads(value)
    if not isinstance(item, dict):
        raise ImportFault(f"a {type(item).__name__}, not a dictionary")
    return {name: content for name, content in item.items() if isinstance(name, str)}
