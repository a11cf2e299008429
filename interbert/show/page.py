"""What a data set holds, as one HTML page that needs nothing beside it: no scripts, no network."""

from collections.abc import Sequence
from html import escape

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.show.overview import captions_of, class_labels, counts_of, lengths_in_words, missing_parts

_BINS, _WIDTH, _HEIGHT, _BASE = 24, 420, 150, 18
_COLOURS = 8
_STYLE = """
:root {
  --paper: #fff; --ink: #212529; --soft: #6a7280; --rule: #dee2e6; --bar: #0072b2; --warn: #b45309;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc52a0;
  --c4: #785ec8; --c5: #b08000; --c6: #1f9ec8; --c7: #b03040;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181c; --ink: #e6e8eb; --soft: #9aa3ad; --rule: #343a40; --bar: #56b4e9; --warn: #f0a848;
    --c0: #56b4e9; --c1: #f08c3c; --c2: #2fc99a; --c3: #e58cc6;
    --c4: #a894f0; --c5: #e0b030; --c6: #6cc8ee; --c7: #ee7080;
  }
}
body {
  background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 1320px; margin: 2rem auto; padding: 0 1.2rem;
}
h1 { font-size: 1.4rem }
h2 { font-size: 1.1rem; margin-top: 2.2rem }
h3 { font-size: .95rem; margin: 0 0 .3rem }
th { text-align: left; font-weight: 600; padding: .15rem 1.2rem .15rem 0; white-space: nowrap }
td { overflow-wrap: anywhere }
figure { margin: 0 }
figcaption { color: var(--soft); font-size: .85rem }
ul { margin: .4rem 0; padding-left: 1.2rem }
svg { width: 100%; height: auto; display: block }
text { fill: var(--soft); font-size: 11px }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 1.4rem }
.bar { fill: var(--bar) }
.warn { color: var(--warn) }
.scene { border: 1px solid var(--rule); max-height: 380px }
.scene rect { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke }
.scene rect:hover { fill: var(--rule); fill-opacity: .5 }
.scene text { font-size: 3.2px; paint-order: stroke; stroke: var(--paper); stroke-width: .9px }
"""


def html_page(corpus: Corpus, images: Sequence[int]) -> str:
    title = escape(", ".join(path.name for path in corpus.paths[:4]))
    facts = "".join(f"<tr><th>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in counts_of(corpus))
    gaps = missing_parts(corpus)
    told = "".join(f"<li class=warn>{escape(gap)}</li>" for gap in gaps) or "<li>nothing</li>"
    charts = "".join(_chart(*chart) for chart in _charts(corpus))
    captions = captions_of(corpus, images)
    samples = "".join(_sample(corpus, image, captions[image]) for image in images)
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1><table>{facts}</table><h2>Missing</h2><ul id=missing>{told}</ul>"
        f"<h2>How much of what</h2><div class=grid id=charts>{charts}</div>"
        f"<h2>Images</h2><div class=grid id=images>{samples}</div></body></html>\n"
    )


def _charts(corpus: Corpus) -> list[tuple[str, np.ndarray]]:
    true_image = corpus.caption_image[: corpus.captions]
    charts = [
        ("regions an image", corpus.region_counts),
        ("captions an image", np.bincount(true_image, minlength=corpus.images)),
    ]
    if corpus.captions:
        charts.append(("words a caption", lengths_in_words(corpus)))
    sample = np.unique(np.linspace(0, corpus.images - 1, min(500, corpus.images)).astype(int))
    counts = corpus.region_counts[sample]
    boxes_R4 = np.empty((int(counts.sum()), 4), np.float32)
    corpus.read(sample, counts, boxes_R4=boxes_R4)
    sides_R2 = np.repeat(np.where(corpus.sizes[sample] > 0, corpus.sizes[sample], 1), counts, axis=0)
    area_R = np.prod(boxes_R4[:, 2:] - boxes_R4[:, :2], axis=1) / np.prod(sides_R2, axis=1)
    charts.append((f"area of a box, % of its image ({len(sample)} images)", 100 * area_R))
    if corpus.evidence in ("class_probs", "labels"):
        rows = np.concatenate([np.arange(count) for count in counts])
        probs_NK, labels_N = corpus.read_evidence(np.repeat(sample, counts), rows)
        labels_N = probs_NK.argmax(axis=1) if labels_N is None else labels_N
        frequency_K = np.sort(np.bincount(labels_N, minlength=corpus.classes))[::-1]
        charts.append((f"regions of each class, the most frequent first ({len(sample)} images)", frequency_K))
    return charts


def _chart(title: str, values: np.ndarray) -> str:
    if title.startswith("regions of each class"):
        tops = values[:60].astype(float)
        ends = ("1st", f"{len(tops)}th of {len(values):,}")
        return _bars(title, tops, ends, f"{int((values == 0).sum()):,} classes do not occur")
    whole = np.issubdtype(values.dtype, np.integer)
    low, high = float(values.min()), float(values.max())
    bins = int(high - low) + 1 if whole and high - low < 2 * _BINS else _BINS
    edge = 0.5 if whole and bins == int(high - low) + 1 else 0.0
    counts, _ = np.histogram(values, bins, (low - edge, max(high, low + 1e-9) + edge))
    about = f"mean {values.mean():.1f}, median {np.median(values):.4g}"
    return _bars(title, counts.astype(float), (f"{low:.4g}", f"{high:.4g}"), about)


def _bars(title: str, counts: np.ndarray, ends: tuple[str, str], about: str) -> str:
    step, most = _WIDTH / len(counts), max(counts.max(), 1)
    heights = counts / most * (_HEIGHT - 34)
    bars = "".join(
        f'<rect class="bar" x="{number * step:.1f}" y="{_HEIGHT - _BASE - height:.1f}" '
        f'width="{max(step - 1, 0.5):.1f}" height="{height:.1f}"><title>{int(count):,}</title></rect>'
        for number, (count, height) in enumerate(zip(counts.tolist(), heights.tolist(), strict=True))
    )
    axis = (
        f'<text x="0" y="{_HEIGHT - 4}">{escape(ends[0])}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 4}" text-anchor="end">{escape(ends[1])}</text>'
        f'<text x="{_WIDTH}" y="11" text-anchor="end">most: {int(most):,}</text>'
    )
    return (
        f'<figure><h3>{escape(title)}</h3><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{bars}{axis}</svg>'
        f"<figcaption>{escape(about)}</figcaption></figure>"
    )


def _sample(corpus: Corpus, image: int, captions: list[str]) -> str:
    count = int(corpus.region_counts[image])
    boxes_R4 = np.empty((count, 4), np.float32)
    corpus.read([image], [count], boxes_R4=boxes_R4)
    width, height = corpus.sizes[image].tolist()
    about = f"{width} × {height}" if width else "of unknown size"
    side = np.array([width or 1, height or 1])
    scale = 100 / side.max()
    boxes = boxes_R4.reshape(-1, 2, 2) * scale
    labels = class_labels(corpus, image, count) or [f"region {number}" for number in range(count)]
    shapes = []
    for number, ((low, high), label) in enumerate(zip(boxes, labels, strict=True)):
        (x, y), (w, h) = low, high - low
        name = escape(label)
        shapes.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{h:.2f}" '
            f'style="stroke: var(--c{number % _COLOURS})"><title>{name}</title></rect>'
            f'<text x="{x + 0.6:.2f}" y="{y + 3.2:.2f}">{name}</text>'
        )
    w, h = side * scale
    lines = "".join(f"<li>{escape(text)}</li>" for text in captions) or "<li class=warn>no caption</li>"
    return (
        f'<figure><h3>{escape(corpus.image_id(image))}</h3><svg class="scene" viewBox="0 0 {w:.2f} {h:.2f}">'
        f"{''.join(shapes)}</svg><figcaption>{count} regions, {about}</figcaption><ul>{lines}</ul></figure>"
    )
