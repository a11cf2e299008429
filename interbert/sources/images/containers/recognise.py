"""From the paths that a user gives to containers of images, by what is in them."""

import os
from pathlib import Path

from interbert.sources.foreign_files.signatures import Kind, kind_of, packing_of
from interbert.sources.foreign_files.table_rows import is_cache, refuse_several_splits
from interbert.sources.images.containers.base64_tsv import Base64Tsv
from interbert.sources.images.containers.container import Container, Fields, ImageError
from interbert.sources.images.containers.folder import Folder, names_below, told_of_links
from interbert.sources.images.containers.listing import ENDINGS, is_hidden
from interbert.sources.images.containers.table import ImageTable
from interbert.sources.images.containers.tar_shard import TarShard
from interbert.sources.images.containers.zip_archive import ZipArchive

_OF_KIND = {
    Kind.TAR: TarShard,
    Kind.ZIP: ZipArchive,
    Kind.PARQUET: ImageTable,
    Kind.ARROW_FILE: ImageTable,
    Kind.ARROW_STREAM: ImageTable,
    Kind.TSV: Base64Tsv,
}
_ARCHIVES = (".tar", ".zip", ".parquet", ".arrow", ".tsv")


def open_containers(paths: list[Path], fields: Fields) -> list[Container]:
    """A folder with images is one; a folder with none is what archives and tables are in it."""
    found: list[Container] = []
    loose: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _of_folder(path, fields)
        elif kind_of(path) is Kind.IMAGE:
            loose.append(path)
        else:
            found.append(_of_file(path, fields))
    if loose:
        below = Path(os.path.commonpath([path.absolute().parent for path in loose]))
        below = below if loose[0].is_absolute() else Path(os.path.relpath(below))
        names = sorted({os.path.relpath(path, below) for path in loose})
        found.append(Folder(below, fields, names + _beside(below, names)))
    return found


def _of_file(path: Path, fields: Fields) -> Container:
    kind = kind_of(path)
    if kind is Kind.PACKED:
        raise ImageError(
            f"{path}: packed by {packing_of(path)} as a whole, so that no image could be read without all before it; "
            "unpack it first"
        )
    if kind is Kind.OTHER:
        raise ImageError(
            f"{path}: neither an image, a tar, a zip, a table (parquet, arrow) nor a TSV with base64; `import` "
            "brings features in"
        )
    return _OF_KIND[kind](path, fields)


def _of_folder(path: Path, fields: Fields) -> list[Container]:
    links: list[str] = []
    names = sorted(names_below(path, links))
    endings = ENDINGS if fields.image is None else (f".{fields.image.lower().lstrip('.')}", *ENDINGS)
    visible = [name for name in names if not is_hidden(name)]
    archives = [name for name in visible if name.lower().endswith(_ARCHIVES) and not is_cache(name)]
    images = any(name.lower().endswith(endings) for name in visible)
    if images or not archives:
        folder = Folder(path, fields, names, links)
        if archives:
            folder.told.append(
                f"{len(archives):,} archives and tables, such as {archives[0]}, are left alone; name them to "
                "have them"
            )
        return [folder]
    tars = {name.lower().removesuffix(".tar") for name in archives if name.lower().endswith(".tar")}
    # img2dataset lays a table of what it fetched beside each tar.
    archives = [name for name in archives if name.lower().removesuffix(".parquet") not in tars]
    refuse_several_splits(path, archives)
    found = [_of_file(path / name, fields) for name in archives]
    found[0].told.extend(_left_alone(path, names, archives, links))
    return found


def _left_alone(path: Path, names: list[str], read: list[str], links: list[str]) -> list[str]:
    """What is said of all but the archives in a folder of them."""
    others = sorted(set(names) - set(read))
    told = (
        [f"{len(others):,} other files below {path}, such as {others[0]}, are left alone"] if others else []
    )
    return told + ([told_of_links(links)] if links else [])


def _beside(folder: Path, names: list[str]) -> list[str]:
    """Files of captions beside single images."""
    stems = [name.rpartition(".")[0] for name in names]
    return sorted(
        {stem + end for stem in stems for end in (".txt", ".json") if (folder / (stem + end)).is_file()}
    )
