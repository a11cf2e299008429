"""An object from image to its caption or captions: `caption_train.json` and its like."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from interbert.sources.captions.json_stream import members
from interbert.sources.captions.layout import Caption, Layout, captions_of, first_name, image_name, sentences


def mapping(path: Path, encoding: str) -> Layout:
    left_out: Counter[str] = Counter()

    def captions() -> Iterator[Caption]:
        left_out.clear()
        for key, value in members(path, encoding):
            where = f"{path}, image {key!r:.80}"
            yield from captions_of(image_name(key, where), None, None, sentences(value, where), left_out)

    return Layout(
        "captions by image", (first_name("key"),), "{image: caption, or a list of them}", captions, left_out
    )
