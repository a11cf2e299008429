"""Which of the files of a tree are images, what they are called, and which captions lie beside them.

One rule for folders and archives: an image's id is its path without the ending; `a.txt` and `a.json` are captions of
`a.jpg`. In shards as webdataset writes them a name ends at its first dot: `7.txt` is of `7.input.jpg` too, where no
other image begins with `7.`.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from interbert.sources.images.containers.container import Fields, ImageError
from interbert.sources.images.containers.names import Names
from interbert.sources.images.containers.sentences import sentences_of_json, sentences_of_text

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_BESIDE = (".txt", ".json")
_KINDS = 5
MOST_BYTES = 1 << 20
"""Of a file of captions."""


class Listing:
    """Images by name: `images` [I] and `beside` [I, 2] (.txt, .json; -1: none) are places in the list of names."""

    def __init__(self, path: Path, names: list[str], fields: Fields) -> None:
        self._fields, self.told = fields, []
        seen = [place for place, name in enumerate(names) if not is_hidden(name)]
        ending = _Ending(fields.image)
        found = sorted((place for place in seen if ending.is_of(names[place])), key=names.__getitem__)
        if not found:
            there = _kinds(names[place] for place in seen)
            remedy, there = _remedy(there), f"; there are {there}" if there else ""
            raise ImageError(
                f"{path}: no image there; endings looked for: {ending}{there}{_hidden(names, seen)}{remedy}"
            )
        self._tell_hidden(names, len(seen), ending)
        self.images = np.array(found, np.int64)
        stems = [ending.without(names[place]) for place in found]
        self.ids = Names(self._ids(names, found, stems))
        self.beside = np.full((len(found), len(_BESIDE)), -1, np.int64)
        if fields.beside:
            self._find_beside(names, seen, stems)
        self._tell_others(names, seen, ending)

    def beside_of(self, number: int) -> list[int]:
        """Places in the list of names."""
        return [place for place in self.beside[number].tolist() if place >= 0]

    def captions(self, files: Iterable[tuple[str, bytes]]) -> list[str]:
        """In what is beside an image, by name. The same sentence in both files is one."""
        found: list[str] = []
        for where, data in files:
            if where.lower().endswith(".txt"):
                found += sentences_of_text(data, where)
            else:
                found += sentences_of_json(data, self._fields.captions, where) or []
        return list(dict.fromkeys(found))

    def _tell_hidden(self, names: list[str], seen: int, ending: "_Ending") -> None:
        hidden = sum(ending.is_of(name) for name in names if is_hidden(name)) if seen < len(names) else 0
        if hidden:
            self.told.append(
                f"{hidden:,} hidden images are left out (a name in their path begins with a dot)"
            )

    def _tell_others(self, names: list[str], seen: list[int], ending: "_Ending") -> None:
        kept = _BESIDE if self._fields.beside else ()
        others = [
            names[p] for p in seen if not ending.is_of(names[p]) and not names[p].lower().endswith(kept)
        ]
        if others:
            self.told.append(
                f"{len(others):,} files of other kinds are not read ({_kinds(others)}); images end in {ending}"
            )
        if self._fields.id:
            self.told.append("--id-field is for tables: here an image's id is its path")

    def _ids(self, names: list[str], found: list[int], stems: list[str]) -> Iterable[str]:
        twice = {stem for stem, count in Counter(stems).items() if count > 1}
        if not twice:
            return stems
        first = next(stem for stem in stems if stem in twice)
        like = [names[place] for place, stem in zip(found, stems, strict=True) if stem == first]
        self.told.append(
            f"{len(twice):,} names have several images, such as {' and '.join(like[:3])}: the ids of these keep "
            "their endings"
        )
        return (names[place] if stem in twice else stem for place, stem in zip(found, stems, strict=True))

    def _find_beside(self, names: list[str], seen: list[int], stems: list[str]) -> None:
        files: list[dict[str, int]] = [{}, {}]
        for place in seen:
            stem, dot, last = names[place].rpartition(".")
            if f"{dot}{last}".lower() in _BESIDE:
                files[_BESIDE.index(f"{dot}{last}".lower())][stem] = place
        if not any(files):
            return
        first_dot = Counter(map(_to_first_dot, stems))
        used = set()
        for number, stem in enumerate(stems):
            key = _to_first_dot(stem)
            for kind, of_stem in enumerate(files):
                place = of_stem.get(stem)
                if place is None and key != stem and first_dot[key] == 1:
                    place = of_stem.get(key)
                if place is not None:
                    self.beside[number, kind] = place
                    used.add(place)
        alone = sum(map(len, files)) - len(used)
        if alone:
            self.told.append(f"{alone:,} .txt and .json files are beside no image of their name")
        with_some = int((self.beside >= 0).any(axis=1).sum())
        self.told.append(f"captions beside {with_some:,} of {len(stems):,} images")


class _Ending:
    """Of images' names: those known, or the one that was asked for."""

    def __init__(self, asked: str | None) -> None:
        self._endings = ENDINGS if asked is None else (f".{asked.lower().lstrip('.')}",)

    def is_of(self, name: str) -> bool:
        return name.lower().endswith(self._endings)

    def without(self, name: str) -> str:
        ending = max((e for e in self._endings if name.lower().endswith(e)), key=len)
        return name[: -len(ending)]

    def __str__(self) -> str:
        return ", ".join(self._endings)


def _kinds(names: Iterable[str]) -> str:
    """The endings of names, the commonest first."""
    count = Counter(Path(name).suffix.lower() or "without ending" for name in names)
    return ", ".join(f"{kind} {number:,}" for kind, number in count.most_common(_KINDS))


def _remedy(there: str) -> str:
    """What makes images of the kinds that are there."""
    if any(kind in there for kind in (".heic", ".heif", ".avif", ".jxl", ".jp2")):
        return ": convert them to JPEG"
    packed = any(
        kind in there for kind in (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z", ".rar")
    )
    return ": unpack them, and give the folder" if packed else ""


def is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX/")) or "/." in name


def _hidden(names: list[str], seen: list[int]) -> str:
    count = len(names) - len(seen)
    return f" ({count:,} hidden files are not looked at)" if count else ""


def _to_first_dot(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def refuse_long(name: str, size: int) -> None:
    """Before it is read."""
    if size > MOST_BYTES:
        raise ImageError(
            f"{name}: {size:,} bytes beside an image are no captions; --ignore-beside leaves them alone"
        )
