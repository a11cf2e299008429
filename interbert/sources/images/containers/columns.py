"""Which columns of a table hold images, ids and captions: as its user says, or by what they are and are called."""

from collections.abc import Sequence
from pathlib import Path

from interbert.sources.images.containers.container import ImageError
from interbert.sources.images.containers.listing import ENDINGS
from interbert.sources.images.containers.names import Names

ID_NAMES = ("id", "image_id", "img_id", "imgid", "key", "__key__", "uniq_id", "filename", "file_name", "name")
_OPTIONS = {"image": "--image-field", "caption": "--caption-field", "id": "--id-field"}


def chosen(
    path: Path, what: str, asked: str | None, fitting: list[int], columns: int, names: Sequence[str] | None
) -> int:
    """The one column that fits, or the one asked for."""
    if asked is not None:
        return _place(path, what, asked, columns, names)
    if len(fitting) == 1:
        return fitting[0]
    told = ", ".join(names or [f"{number + 1}" for number in range(columns)])
    if not fitting:
        raise ImageError(f"{path}: no column holds images (there are {told}); {_OPTIONS[what]} names it")
    several = " and ".join(names[n] if names else str(n + 1) for n in fitting)
    raise ImageError(f"{path}: columns {several} hold images; say by {_OPTIONS[what]} which is meant")


def named(
    path: Path,
    what: str,
    asked: Sequence[str],
    known: Sequence[str],
    columns: int,
    names: Sequence[str] | None,
) -> list[int]:
    """The columns asked for; else the first that has one of the known names, in their order, if any."""
    if asked:
        return [_place(path, what, one, columns, names) for one in asked]
    lower = [name.lower() for name in names or ()]
    return [lower.index(name) for name in known if name in lower][:1]


def unique_ids(given: list[str]) -> Names | None:
    """Without the endings of images where they differ without; None where they do not differ, or one is empty."""
    for ids in ([_without_ending(one) for one in given], given):
        if all(ids) and len(set(ids)) == len(ids):
            return Names(ids)
    return None


def _without_ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if stem and f"{dot}{ending.lower()}" in ENDINGS else name


def _place(path: Path, what: str, asked: str, columns: int, names: Sequence[str] | None) -> int:
    if names and asked in names:
        return list(names).index(asked)
    if not names and asked.isdigit() and 1 <= int(asked) <= columns:
        return int(asked) - 1
    told = f"they are {', '.join(names)}" if names else f"they are numbered 1 to {columns}"
    raise ImageError(f"{path}: no column {asked} for {_OPTIONS[what]}; {told}")
