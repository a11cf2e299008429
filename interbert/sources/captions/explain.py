"""What a file of captions is, in words: for those who hold one and do not know."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from interbert.sources.captions.disk_map import DiskMap
from interbert.sources.captions.layout import Caption, Layout
from interbert.sources.captions.layouts import recognise
from interbert.sources.captions.text_file import ENCODING, UndecodableText
from interbert.sources.record import ImportFault

_EXAMPLES = 2
_SPLITS = 20
_FIELDS = 3


def explain_captions(path: Path, encoding: str = ENCODING) -> list[str] | None:
    """Layout, ids, fields, how many, what is missing; None where it is not a file of captions.

    The whole file is read.
    """
    try:
        layout = recognise(path, encoding)
    except UndecodableText as error:
        return [f"text, perhaps captions: {error}"]
    except (ImportFault, OSError):
        return None
    told = [f"captions: {layout.title}", f"read from: {layout.contents}"]
    with DiskMap() as images:
        splits: Counter[str | None] = Counter()
        examples: list[Caption] = []
        fault = None
        try:
            images.fill(_counted(layout, splits, examples))
        except ImportFault as error:
            fault = str(error)
        told.append(f"holds: {splits.total():,} captions of {len(images):,} images")
    told += _names(layout, examples)
    known = {split: count for split, count in splits.items() if split is not None}
    if known:
        listed = ", ".join(f"{split} {count:,}" for split, count in sorted(known.items())[:_SPLITS])
        told.append(f"splits: captions by --split: {listed}")
    told += [f"left out: {count:,} {what}" for what, count in layout.left_out.items()]
    told += [f"missing: {what}" for what in _missing(splits, len(known), fault)]
    return told


def _counted(layout: Layout, splits: Counter, examples: list[Caption]) -> Iterator[tuple[str, str]]:
    for caption in layout.captions():
        splits[caption.split] += 1
        if len(examples) < _EXAMPLES and all(caption.image != known.image for known in examples):
            examples.append(caption)
        yield caption.image, ""


def _names(layout: Layout, examples: list[Caption]) -> list[str]:
    told = []
    for field in layout.fields[:_FIELDS]:
        names = [name for caption in examples if (name := field.of(caption.image, caption.other)) is not None]
        if names:
            told.append(f"ids: {field.label}, such as {', '.join(repr(name[:80]) for name in names)}")
    if len(layout.fields) > _FIELDS:
        told.append(f"ids: also {', '.join(field.label for field in layout.fields[_FIELDS:])}")
    return told


def _missing(splits: Counter, known: int, fault: str | None) -> list[str]:
    found = []
    if not splits.total():
        found.append("captions: there is none")
    elif not known:
        found.append("splits: the file tells none")
    elif splits[None]:
        found.append(f"the split of {splits[None]:,} captions")
    return found + ([f"the rest: {fault}"] if fault else [])
