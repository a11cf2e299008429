"""By what a model is told from any other: an index serves the one that made it, and no other."""

import hashlib
from pathlib import Path

from interbert.files import SUMS, digest

DECIDING = (
    "config.json",
    "model*.safetensors",
    "adapter*.safetensors",
    "adapter_config.json",
    "tokenizer.json",
    "vocab.txt",
)
"""What decides vectors and scores; a card may change."""


def mark_of(folder: Path) -> str:
    """sha256 of the sums of weights, sizes and words."""
    if not (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file():
        raise ValueError(f"{folder}: no model there; give a directory such as runs/<name>/export")
    known = _sums(folder)
    paths = sorted({path for pattern in DECIDING for path in folder.glob(pattern)})
    lines = [f"{known.get(path.name) or digest(path)}  {path.name}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sums(folder: Path) -> dict[str, str]:
    """Those of the folder's own list, to which `load_ours` holds the files."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    parts = (line.partition("  ") for line in path.read_text(errors="replace").splitlines())
    return {name: found for found, _, name in parts}
