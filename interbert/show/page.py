"""What a data set holds, as one HTML page that needs nothing beside it: no scripts, no network."""

from collections.abc import Sequence

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.printing import in_page
from interbert.show.overview import boxes_of, captions_of, counts_of, lengths_in_words, missing_parts
from interbert.show.scene import read_scene, scene_svg
from interbert.show.style import BASE, said

_BINS, _WIDTH, _HEIGHT, _BASE = 24, 420, 150, 18
_STYLE = (
    BASE
    + """
body { max-width: 1320px }
h3 { font-size: .95rem; margin: 0 0 .3rem }
th { text-align: left; font-weight: 600; padding: .15rem 1.2rem .15rem 0; white-space: nowrap }
td { overflow-wrap: anywhere }
ul { margin: .4rem 0; padding-left: 1.2rem }
text { fill: var(--soft); font-size: 11px }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 1.4rem }
.bar { fill: var(--bar) }
.warn { color: var(--warn) }
"""
)


def html_page(corpus: Corpus, images: Sequence[int]) -> str:
    title = in_page(", ".join(path.name for path in corpus.paths[:4]))
    facts = "".join(f"<tr><th>{in_page(n)}</th><td>{in_page(v)}</td></tr>" for n, v in counts_of(corpus))
    gaps = missing_parts(corpus)
    told = "".join(f"<li class=warn>{in_page(gap)}</li>" for gap in gaps) or "<li>nothing</li>"
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
    boxes_R4 = boxes_of(corpus, sample, counts)
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
        f'<text x="0" y="{_HEIGHT - 4}">{in_page(ends[0])}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 4}" text-anchor="end">{in_page(ends[1])}</text>'
        f'<text x="{_WIDTH}" y="11" text-anchor="end">most: {int(most):,}</text>'
    )
    return (
        f'<figure><h3>{in_page(title)}</h3><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{bars}{axis}</svg>'
        f"<figcaption>{in_page(about)}</figcaption></figure>"
    )


def _sample(corpus: Corpus, image: int, captions: list[str]) -> str:
    scene = read_scene(corpus, image)
    about = f"{scene.width} × {scene.height}" if scene.width else "of unknown size"
    lines = "".join(said("li", text) for text in captions) or "<li class=warn>no caption</li>"
    return (
        f"<figure><h3>{in_page(corpus.image_id(image))}</h3>{scene_svg(scene)}"
        f"<figcaption>{len(scene.labels)} regions, {about}</figcaption><ul>{lines}</ul></figure>"
    )
