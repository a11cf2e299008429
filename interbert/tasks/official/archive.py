"""The zip in which files are handed in together: one more is put in, or takes the place of its former self."""

import zipfile
from pathlib import Path

from interbert.files import replaced

_BEGINNING = (1980, 1, 1, 0, 0, 0)
"""So that the same predictions make the same archive."""


def put_in(path: Path, name: str, text: str) -> list[str]:
    """The names of all that are in it then."""
    members = _members(path) | {name: text.encode()}
    with replaced(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(members):
            archive.writestr(zipfile.ZipInfo(each, _BEGINNING), members[each], zipfile.ZIP_DEFLATED)
    return sorted(members)


def _members(path: Path) -> dict[str, bytes]:
    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        raise ValueError(f"{path}: is no zip archive; name another --submission") from None
