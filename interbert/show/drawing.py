"""Pictures of scenes, histograms and attention, with Pillow alone.

Everything is drawn at twice the size and reduced at the end, which is what makes lines and letters smooth.
Shapes: boxes_N4 is x1 y1 x2 y2, attention_WR is words by regions.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from interbert.script import breakable
from interbert.show.fonts import font_for

PALETTE = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 82, 160), (120, 94, 200), (196, 140, 0),
    (31, 160, 200), (176, 48, 64), (96, 130, 40), (100, 110, 125), (150, 90, 50), (60, 70, 160),
)  # fmt: skip
PAPER, INK, SOFT, RULE, CANVAS = (
    (255, 255, 255),
    (33, 37, 41),
    (110, 118, 128),
    (222, 226, 230),
    (246, 247, 249),
)
HEAT = np.array([[255, 255, 255], [222, 235, 247], [158, 202, 225], [66, 146, 198], [8, 48, 107]], float)

FINE = 2
"""How much larger everything is drawn than it is shown."""
SIDE = 420
"""Longest side of a scene as it is shown."""
MARGIN = 12

Box = tuple[float, float, float, float]


def region_colour(index: int) -> tuple[int, int, int]:
    return PALETTE[index % len(PALETTE)]


def draw_regions(
    width: float,
    height: float,
    boxes_N4: np.ndarray,
    labels: Sequence[str] | None = None,
    caption: str = "",
    background: Image.Image | None = None,
) -> Image.Image:
    """An image's regions as coloured frames, each with its label, and the caption below.

    A width or height of 0 means that the size is unknown and the boxes are shares of 1.
    """
    if width <= 0 or height <= 0:
        width = height = 1.0
    scale = SIDE * FINE / max(width, height)
    canvas_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("RGB", canvas_size, CANVAS)
    if background is not None:
        canvas.paste(background.convert("RGB").resize(canvas_size, Image.Resampling.LANCZOS))
    boxes = np.asarray(boxes_N4, float).reshape(-1, 4) * scale
    _draw_frames(canvas, boxes)
    if labels is not None:
        _draw_tags(canvas, boxes, labels)
    ImageDraw.Draw(canvas).rectangle((0, 0, canvas_size[0] - 1, canvas_size[1] - 1), outline=RULE, width=FINE)
    return _reduced(_under(canvas, caption) if caption else canvas)


def histogram(values: Sequence[float] | np.ndarray, title: str) -> Image.Image:
    """How often each value occurs, with the mean marked. Whole numbers get a bar each where they are few."""
    values = np.asarray(values, float).ravel()
    values = values[np.isfinite(values)]
    width, height, left, top, bottom = 420 * FINE, 220 * FINE, 46 * FINE, 42 * FINE, 26 * FINE
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN * FINE, 10 * FINE), title, INK, _font(15, title))
    if values.size == 0:
        draw.text((width / 2, height / 2), "no values", SOFT, _font(14), anchor="mm")
        return _reduced(picture)
    edges = _edges(values)
    counts, _ = np.histogram(values, edges)
    right, base = width - MARGIN * FINE, height - bottom
    for tick in _ticks(0, counts.max()):
        if tick != round(tick):
            continue
        y = base - (base - top) * tick / counts.max()
        draw.line((left, y, right, y), RULE, FINE)
        draw.text((left - 5 * FINE, y), _short(tick), SOFT, _font(11), anchor="rm")

    def place(value: float) -> float:
        return left + (right - left) * (value - edges[0]) / (edges[-1] - edges[0])

    for count, start, stop in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x1, y1, x2 = (
                place(start) + FINE / 2,
                base - (base - top) * count / counts.max(),
                place(stop) - FINE / 2,
            )
            draw.rectangle((x1, y1, max(x1, x2), base), PALETTE[0])
    draw.line((left, base, right, base), SOFT, FINE)
    for tick in _ticks(values.min(), values.max()):
        draw.text((place(tick), base + 5 * FINE), _short(tick), SOFT, _font(11), anchor="mt")
    mean = place(values.mean())
    draw.line((mean, top - 6 * FINE, mean, base), PALETTE[1], FINE)
    summary = (
        f"n {values.size:,} · mean {_short(values.mean())} · {_short(values.min())} to {_short(values.max())}"
    )
    draw.text((right, 13 * FINE), summary, PALETTE[1], _font(11), anchor="ra")
    return _reduced(picture)


def curves(lines: Sequence[tuple[str, Sequence[float], Sequence[float]]], title: str) -> Image.Image:
    """(name, steps, values) of each curve, over one another. What is no number leaves a gap."""
    width, height, left, top, bottom = 420 * FINE, 240 * FINE, 46 * FINE, 58 * FINE, 26 * FINE
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN * FINE, 10 * FINE), title, INK, _font(15))
    right, base = width - MARGIN * FINE, height - bottom
    points = [np.array([steps, values], float) for _, steps, values in lines]
    whole = np.concatenate([each[:, np.isfinite(each).all(axis=0)] for each in points], axis=1)
    if whole.size == 0:
        draw.text((width / 2, height / 2), "no values", SOFT, _font(14), anchor="mm")
        return _reduced(picture)
    low, high = whole.min(axis=1), whole.max(axis=1)
    span = np.where(high > low, high - low, 1.0)

    def place(step: float, value: float) -> tuple[float, float]:
        across, up = (np.array([step, value]) - low) / span
        return left + (right - left) * across, base - (base - top) * up

    for tick in _ticks(low[1], high[1]):
        y = place(low[0], tick)[1]
        draw.line((left, y, right, y), RULE, FINE)
        draw.text((left - 5 * FINE, y), _short(tick), SOFT, _font(11), anchor="rm")
    for tick in _ticks(low[0], high[0]):
        draw.text((place(tick, low[1])[0], base + 5 * FINE), _short(tick), SOFT, _font(11), anchor="mt")
    at = MARGIN * FINE
    for number, (name, *_) in enumerate(lines):
        draw.text((at, 34 * FINE), name, region_colour(number), _font(12))
        at += draw.textlength(name, _font(12)) + 14 * FINE
        _draw_curve(draw, [place(*point) for point in points[number].T], region_colour(number))
    return _reduced(picture)


def _draw_curve(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour) -> None:
    """A point alone is a dot."""
    known = [bool(np.isfinite(point).all()) for point in points]
    for number, (x, y) in enumerate(points):
        if not known[number]:
            continue
        if number and known[number - 1]:
            draw.line((*points[number - 1], x, y), colour, 2 * FINE)
        elif number + 1 == len(points) or not known[number + 1]:
            draw.ellipse((x - 2 * FINE, y - 2 * FINE, x + 2 * FINE, y + 2 * FINE), colour)


def grid(images: Sequence[Image.Image], columns: int = 3) -> Image.Image:
    """Pictures in rows of `columns`, each column and row as wide and high as its largest picture."""
    if not images:
        return Image.new("RGB", (1, 1), PAPER)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    widths = [max(image.width for image in images[c::columns]) for c in range(columns)]
    heights = [max(image.height for image in images[r * columns : (r + 1) * columns]) for r in range(rows)]
    size = (sum(widths) + MARGIN * (columns + 1), sum(heights) + MARGIN * (rows + 1))
    sheet = Image.new("RGB", size, PAPER)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        sheet.paste(
            image.convert("RGB"),
            (sum(widths[:column]) + MARGIN * (column + 1), sum(heights[:row]) + MARGIN * (row + 1)),
        )
    return sheet


def attention_picture(
    regions: Image.Image,
    words: Sequence[str],
    attention_WR: np.ndarray,
    region_names: Sequence[str] | None = None,
    title: str = "",
    note: str = "",
) -> Image.Image:
    """The picture of the regions beside a heat map of words (rows) by regions (columns).

    Column r has the colour of frame r in `draw_regions`; a region named "*" (the global token) is grey. Each
    row is shown relative to its own largest weight, which a framed cell marks, so every word can be read.
    """
    attention_WR = np.asarray(attention_WR, float)
    if attention_WR.ndim != 2 or attention_WR.shape[0] != len(words):
        raise ValueError(f"attention is {attention_WR.shape}, but there are {len(words)} words")
    count = attention_WR.shape[1]
    names = [str(i + 1) for i in range(count)] if region_names is None else list(region_names)
    if len(names) != count:
        raise ValueError(f"attention has {count} regions, but there are {len(names)} region names")
    heat = _heat_map(words, attention_WR, names)
    scene = regions.convert("RGB").resize(
        (regions.width * FINE, regions.height * FINE), Image.Resampling.LANCZOS
    )
    head, pad = (34 * FINE if title else MARGIN * FINE), MARGIN * FINE
    foot = 24 * FINE if note else 0
    font, small = _font(16, title), _font(12, note)
    width = max(
        scene.width + heat.width + 3 * pad, round(max(font.getlength(title), small.getlength(note))) + 2 * pad
    )
    body = max(scene.height, heat.height)
    sheet = Image.new("RGB", (width, head + body + foot + pad), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((pad, 9 * FINE), title, INK, font)
    sheet.paste(scene, (pad, head))
    sheet.paste(heat, (scene.width + 2 * pad, head))
    draw.text((pad, head + body + 6 * FINE), note, SOFT, small)
    return _reduced(sheet)


def _heat_map(words: Sequence[str], attention_WR: np.ndarray, names: Sequence[str]) -> Image.Image:
    rows, columns = attention_WR.shape
    cell = int(np.clip(420 / max(rows, columns, 1), 15, 26)) * FINE
    fonts, small = [_font(13, word) for word in words], _font(10)
    widths = [font.getlength(word) for font, word in zip(fonts, words, strict=True)]
    left = round(max(widths, default=0)) + 8 * FINE
    top = cell + 3 * FINE
    picture = Image.new("RGB", (left + columns * cell + FINE, top + rows * cell + FINE), PAPER)
    draw = ImageDraw.Draw(picture)
    colour_of = iter(range(columns))
    for column, name in enumerate(names):
        x = left + column * cell
        colour = SOFT if name == "*" else region_colour(next(colour_of))
        draw.rounded_rectangle((x + FINE, 0, x + cell - FINE, cell - FINE), 3 * FINE, colour)
        draw.text((x + cell / 2, cell / 2), name, PAPER, small, anchor="mm")
    for row, word in enumerate(words):
        y = top + row * cell
        draw.text((left - 5 * FINE, y + cell / 2), word, INK, fonts[row], anchor="rm")
        peak = attention_WR[row].max(initial=0.0)
        for column, weight in enumerate(attention_WR[row]):
            x = left + column * cell
            draw.rectangle((x, y, x + cell, y + cell), _heat(weight / peak if peak > 0 else 0.0), RULE)
    for row in range(rows if columns else 0):
        x, y = left + int(attention_WR[row].argmax()) * cell, top + row * cell
        draw.rectangle((x, y, x + cell, y + cell), outline=PALETTE[1], width=FINE)
    return picture


def _draw_frames(canvas: Image.Image, boxes: np.ndarray) -> None:
    """Large boxes first, so that small ones are not buried; the fill is faint, the frame strong."""
    veil = Image.new("RGBA", canvas.size)
    draw = ImageDraw.Draw(veil)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for index in np.argsort(-areas, kind="stable"):
        frame, colour = _inside(boxes[index], canvas.size), region_colour(int(index))
        layer = Image.new("RGBA", canvas.size)
        ImageDraw.Draw(layer).rectangle(frame, (*colour, 28))
        veil.alpha_composite(layer)
        draw.rectangle(frame, outline=(*colour, 255), width=2 * FINE)
    canvas.paste(veil, mask=veil)


def _draw_tags(canvas: Image.Image, boxes: np.ndarray, labels: Sequence[str]) -> None:
    """Each label goes to that corner of its box where it covers the labels before it least."""
    draw, taken = ImageDraw.Draw(canvas), []
    for index, label in enumerate(labels[: len(boxes)]):
        if not label:
            continue
        x1, y1, x2, y2 = _inside(boxes[index], canvas.size)
        font = _font(12, label)
        w, h = font.getlength(label) + 8 * FINE, 16 * FINE
        spots = [(x1, y1 - h), (x2 - w, y1 - h), (x1, y2), (x2 - w, y2), (x1, y1), (x2 - w, y1), (x1, y2 - h)]
        tags = [_shifted_inside((x, y, x + w, y + h), canvas.size) for x, y in spots]
        tag = min(tags, key=lambda t: sum(_overlap(t, other) for other in taken))
        taken.append(tag)
        draw.rounded_rectangle(tag, 3 * FINE, region_colour(index))
        draw.text(((tag[0] + tag[2]) / 2, (tag[1] + tag[3]) / 2), label, PAPER, font, anchor="mm")


def _inside(box: np.ndarray, size: tuple[int, int]) -> Box:
    x1, x2 = sorted(float(np.clip(v, 0, size[0] - 1)) for v in box[[0, 2]])
    y1, y2 = sorted(float(np.clip(v, 0, size[1] - 1)) for v in box[[1, 3]])
    return x1, y1, x2, y2


def _shifted_inside(tag: Box, size: tuple[int, int]) -> Box:
    dx = -tag[0] if tag[0] < 0 else min(0.0, size[0] - 1 - tag[2])
    dy = -tag[1] if tag[1] < 0 else min(0.0, size[1] - 1 - tag[3])
    return tag[0] + dx, tag[1] + dy, tag[2] + dx, tag[3] + dy


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _under(canvas: Image.Image, caption: str) -> Image.Image:
    font, step, pad = _font(15, caption), 21 * FINE, 8 * FINE
    lines = _wrapped(caption, font, canvas.width - 2 * pad)
    sheet = Image.new("RGB", (canvas.width, canvas.height + len(lines) * step + 2 * pad), PAPER)
    sheet.paste(canvas)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((pad, canvas.height + pad + number * step), line, INK, font)
    return sheet


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    for paragraph in text.splitlines():
        lines.append("")
        for space, word in breakable(paragraph):
            longer = f"{lines[-1]}{space}{word}".strip()
            if lines[-1] and font.getlength(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
    return lines


def _edges(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    whole = bool((values == np.round(values)).all())
    if whole and high - low < 60:
        return np.arange(low - 0.5, high + 1)
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    return np.linspace(low, high, 41)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between low and high."""
    span = high - low
    if span <= 0:
        return [float(low)]
    size = 10.0 ** np.floor(np.log10(span / 4))
    step = next(size * k for k in (1, 2, 5, 10) if span / (size * k) <= 6)
    return [float(t) for t in np.arange(np.ceil(low / step), np.floor(high / step + 1e-9) + 1) * step]


def _short(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"


def _heat(share: float) -> tuple[int, int, int]:
    at = float(np.clip(share, 0, 1)) * (len(HEAT) - 1)
    low = min(int(at), len(HEAT) - 2)
    red, green, blue = HEAT[low] + (HEAT[low + 1] - HEAT[low]) * (at - low)
    return int(red), int(green), int(blue)


def _font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    return font_for(text, size * FINE)


def _reduced(picture: Image.Image) -> Image.Image:
    size = (max(1, picture.width // FINE), max(1, picture.height // FINE))
    return picture.resize(size, Image.Resampling.LANCZOS)
