"""What a data set holds, for people: counts, histograms as text, captions, boxes as a picture."""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.printing import printable
from interbert.script import words_in

_BAR = 48
_BINS = 12


def choose_images(corpus: Corpus, count: int, ids: Sequence[str] | None = None) -> list[int]:
    """The images with these ids, or `count` of them spread evenly over the data set."""
    if not ids:
        return np.unique(np.linspace(0, corpus.images - 1, min(count, corpus.images)).astype(int)).tolist()
    found = {image_id: corpus.image_of(image_id) for image_id in ids}
    missing = [image_id for image_id, image in found.items() if image is None]
    if missing:
        paths = ", ".join(str(path) for path in corpus.paths)
        raise ValueError(f"{paths}: no image with id {missing[0]!r}; the first one is {corpus.image_id(0)!r}")
    return list(found.values())


def describe(corpus: Corpus, images: Sequence[int]) -> str:
    """Counts, what is missing, histograms of regions and words, and the captions of `images`."""
    lines = [f"{name:<20}{printable(value)}" for name, value in counts_of(corpus)]
    lines += [f"{'missing':<20}{printable(gap)}" for gap in missing_parts(corpus)]
    lines += ["", *text_histogram(corpus.region_counts, "regions an image")]
    lines += ["", *text_histogram(_captions_an_image(corpus), "captions an image")]
    lines += ["", *text_histogram(lengths_in_words(corpus), "words a caption")]
    captions = captions_of(corpus, images)
    for image in images:
        lines += ["", f"{printable(corpus.image_id(image))}: {corpus.region_counts[image]} regions"]
        lines += [f"  {printable(text)}" for text in captions[image]] or ["  (no caption)"]
    return "\n".join(lines)


def counts_of(corpus: Corpus) -> list[tuple[str, str]]:
    distinctive = int((corpus.caption_kind == 1).sum())
    return [
        ("stores", f"{len(corpus.paths)}: {', '.join(str(path) for path in corpus.paths[:4])}"),
        ("source", ", ".join(dict.fromkeys(s.source for s in corpus.stores if s.source)) or "unknown"),
        ("images", f"{corpus.images:,}"),
        ("regions", f"{int(corpus.region_counts.sum()):,}, features {corpus.feature_width} wide"),
        *([("features of", corpus.features_of)] if corpus.features_of else []),
        ("classes", f"{corpus.classes:,}, evidence: {corpus.evidence or 'none'}"),
        ("captions", f"{corpus.captions:,}, {distinctive:,} of them checked to be true of their image alone"),
        ("swapped captions", f"{corpus.swapped:,}"),
        ("fingerprint", corpus.fingerprint),
    ]


def missing_parts(corpus: Corpus) -> list[str]:
    """What a data set may hold and this one does not, in words."""
    silent = int((_captions_an_image(corpus) == 0).sum())
    unsized = int((corpus.sizes == 0).all(axis=1).sum())
    unguarded = [store.path.name for store in corpus.stores if "checksums" not in store.extents]
    gaps = []
    if silent:
        gaps.append(f"{silent:,} of {corpus.images:,} images have no caption: they are never trained on")
    if unsized:
        gaps.append(
            f"{unsized:,} of {corpus.images:,} images are of unknown size: their boxes are shares of 1"
        )
    if corpus.evidence is None:
        gaps.append("no class evidence: the objectives mrm and moc have nothing to learn from")
    elif corpus.class_names is None:
        gaps.append("no names of the classes: pictures show numbers")
    if unguarded:
        gaps.append(f"no checksums in {', '.join(unguarded)}: damage would not be noticed")
    return gaps


def _captions_an_image(corpus: Corpus) -> np.ndarray:
    return np.bincount(corpus.caption_image[: corpus.captions], minlength=corpus.images)


def captions_of(corpus: Corpus, images: Sequence[int]) -> dict[int, list[str]]:
    """The true captions of each of these images."""
    true_image = corpus.caption_image[: corpus.captions]
    found: dict[int, list[str]] = {image: [] for image in images}
    for caption in np.flatnonzero(np.isin(true_image, list(images))).tolist():
        found[int(true_image[caption])].append(corpus.caption_text(caption))
    return found


def text_histogram(values: np.ndarray, title: str) -> list[str]:
    """At most a dozen bars of equal width in values, longest `_BAR` characters."""
    if len(values) == 0:
        return [f"{title}: none"]
    low, high = int(values.min()), int(values.max())
    step = -(-(high - low + 1) // _BINS)
    counts = np.bincount((values - low) // step)
    lines = [f"{title}: {low} to {high}, mean {values.mean():.1f}, median {np.median(values):g}"]
    for number, count in enumerate(counts.tolist()):
        start = low + number * step
        label = f"{start}" if step == 1 else f"{start}-{start + step - 1}"
        bar = "█" * round(_BAR * count / counts.max())
        lines.append(f"  {label:>11}  {count:>9,}  {bar}".rstrip())
    return lines


def lengths_in_words(corpus: Corpus) -> np.ndarray:
    return np.fromiter(map(words_in, islice(corpus.texts(), corpus.captions)), np.int64)


def picture(corpus: Corpus, images: Sequence[int]):
    """A PIL image: the boxes of these images with classes and first captions, then histograms."""
    from interbert.show import drawing

    captions = captions_of(corpus, images)
    scenes = []
    for image in images:
        count = int(corpus.region_counts[image])
        boxes_R4 = boxes_of(corpus, [image], [count])
        width, height = corpus.sizes[image].tolist()
        title = captions[image][0] if captions[image] else corpus.image_id(image)
        scenes.append(
            drawing.draw_regions(width, height, boxes_R4, class_labels(corpus, image, count), title)
        )
    charts = [drawing.histogram(corpus.region_counts, "regions an image")]
    if corpus.captions:
        charts.append(drawing.histogram(lengths_in_words(corpus), "words a caption"))
    return drawing.grid([drawing.grid(scenes), drawing.grid(charts)], columns=1)


def boxes_of(
    corpus: Corpus, images: Sequence[int] | np.ndarray, counts: Sequence[int] | np.ndarray
) -> np.ndarray:
    """The first so many of each; ValueError where one cannot be drawn."""
    boxes_R4 = np.empty((int(np.sum(counts)), 4), np.float32)
    corpus.read(images, counts, boxes_R4=boxes_R4)
    bad_R = ~np.isfinite(boxes_R4).all(axis=1)
    if bad_R.any():
        image = int(np.repeat(images, counts)[bad_R.argmax()])
        raise ValueError(
            f"image {corpus.image_id(image)!r}: a box is not finite; `python -m interbert verify` names all such rows"
        )
    return boxes_R4


def class_labels(corpus: Corpus, image: int, count: int) -> list[str] | None:
    probs_NK, labels_N = corpus.read_evidence(np.full(count, image), np.arange(count))
    if probs_NK is not None:
        labels_N = probs_NK.argmax(axis=1)
    if labels_N is None:
        return None
    names = corpus.class_names
    return [names[label] if names else str(label) for label in labels_N.tolist()]
