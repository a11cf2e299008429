"""Karpathy's JSON: `{"images": [{"filename", "sentences": [{"raw"}], "split", "cocoid", "filepath"}]}`."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from interbert.sources.captions.json_stream import elements
from interbert.sources.captions.layout import (
    Caption,
    Layout,
    captions_of,
    first_name,
    image_name,
    other_name,
    sentences,
)
from interbert.sources.record import ImportFault


def karpathy(path: Path, encoding: str) -> Layout:
    left_out: Counter[str] = Counter()

    def captions() -> Iterator[Caption]:
        left_out.clear()
        for where, image in elements(path, encoding, "images"):
            missing = [
                name for name in ("filename", "sentences") if not isinstance(image, dict) or name not in image
            ]
            if missing:
                raise ImportFault(f"{where}: lacks {missing[0]!r}")
            name = image_name(image["filename"], f"{where}, filename")
            folder = image.get("filepath")
            name = f"{folder}/{name}" if isinstance(folder, str) and folder else name
            other = image_name(image["cocoid"], f"{where}, cocoid") if "cocoid" in image else None
            texts = sentences(image["sentences"], f"{where}, sentences")
            yield from captions_of(name, other, image.get("split"), texts, left_out)

    return Layout(
        "Karpathy's JSON",
        (first_name("filename"), other_name("cocoid")),
        "images[]: filename (filepath, cocoid where they are there), sentences[].raw, split",
        captions,
        left_out,
    )
