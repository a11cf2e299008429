"""Captions from the files that people hold, told apart by what is in them, found by an image's id or file name."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from interbert.sources.importers.record import ImportFault


class Captions:
    """Sentences by image. `of` gives an image's, by its id, its file's name, or that without the ending."""

    def __init__(self, files: list[Path], split: str | None) -> None:
        self._sentences: list[list[str]] = []
        self._images: dict[str, int] = {}
        self.files, self.split = files, split
        for path in files:
            before = len(self._sentences)
            self._read(path)
            if len(self._sentences) == before:
                of = f" in split {split!r}" if split else ""
                raise ImportFault(f"{path}: no caption{of}")

    def __len__(self) -> int:
        """Images that have captions."""
        return len(self._sentences)

    def of(self, image_id: str) -> list[str]:
        place = self._images.get(image_id, self._images.get(_stem(image_id)))
        if place is None and image_id.isdigit():
            place = self._images.get(str(int(image_id)))
        return [] if place is None else self._sentences[place]

    def _add(self, path: Path, row: object, names: list[str], sentences: Any) -> None:
        sentences = [sentences] if isinstance(sentences, str) else sentences
        if not isinstance(sentences, list) or not all(isinstance(s, str) for s in sentences):
            raise ImportFault(f"{path}, {row}: sentences are {sentences!r:.60}; a list of texts is expected")
        sentences = [" ".join(sentence.split()) for sentence in sentences]
        sentences = [sentence for sentence in sentences if sentence]
        known = next((self._images[name] for name in names if name in self._images), None)
        if known is not None:
            self._sentences[known] = [*self._sentences[known], *sentences]
        elif sentences:
            self._images.update(dict.fromkeys(names, len(self._sentences)))
            self._sentences.append(sentences)

    def _read(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8-sig")
        if not text.lstrip().startswith("{"):
            self._read_csv(path, text)
            return
        try:
            tree = json.loads(text)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Extra data"):
                raise ImportFault(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
            self._read_lines(path, text)
            return
        if isinstance(tree.get("images"), list):
            self._read_karpathy(path, tree["images"])
        elif "img_path" in tree and "sentences" in tree:  # a single line
            self._read_lines(path, text)
        else:
            for image_id, sentences in tree.items():
                self._add(path, f"image {image_id!r}", _names(image_id), sentences)

    def _read_karpathy(self, path: Path, images: list[dict]) -> None:
        splits = {image.get("split") for image in images}
        if self.split and self.split not in splits:
            found = ", ".join(sorted(map(str, splits)))
            raise ImportFault(f"{path}: no split {self.split!r}; it has {found}")
        for number, image in enumerate(images):
            if self.split and image.get("split") != self.split:
                continue
            try:
                names = _names(image["filename"])
                sentences = [sentence["raw"] for sentence in image["sentences"]]
            except (KeyError, TypeError) as error:
                raise ImportFault(f"{path}, images[{number}]: lacks {error}") from None
            if "cocoid" in image:
                names.append(str(image["cocoid"]))
            self._add(path, f"images[{number}]", names, sentences)

    def _read_lines(self, path: Path, text: str) -> None:
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
                names, sentences = _names(item["img_path"]), item["sentences"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ImportFault(
                    f"{path}, line {number}: not an object with img_path and sentences ({error})"
                ) from None
            self._add(path, f"line {number}", names, sentences)

    def _read_csv(self, path: Path, text: str) -> None:
        rows = csv.DictReader(io.StringIO(text))
        if not {"image_id", "caption"} <= set(rows.fieldnames or ()):
            raise ImportFault(
                f"{path}: neither JSON nor a CSV with the columns image_id and caption; its first line is "
                f"{text.partition(chr(10))[0]!r:.80}"
            )
        for row in rows:
            if row["image_id"] is None or row["caption"] is None:
                raise ImportFault(f"{path}, line {rows.line_num}: a column is missing")
            self._add(path, f"line {rows.line_num}", _names(row["image_id"]), row["caption"])


def _names(name: object) -> list[str]:
    name = str(name)
    return list(dict.fromkeys([name, _stem(name)]))


def _stem(name: str) -> str:
    base = name.rsplit("/", 1)[-1]
    stem, dot, ending = base.rpartition(".")
    return stem if dot and ending.lower() in ("jpg", "jpeg", "png", "npz", "gif", "webp") else base
