"""Small crawls: made pages, and pages written by hand into WARCs."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from interbert.curate.run import Wishes, curate
from interbert.curate.settings import CurateSettings
from interbert.sources.scenes.pages.archive import WarcWriter

SITE = "http://example.org/"


def picture(seed: int = 0, width: int = 400, height: int = 320, form: str = "JPEG") -> bytes:
    """Of soft blots, so that hashes of different seeds differ."""
    blots = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(seed + 1).integers(0, 24, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(np.clip(np.asarray(image, np.int16) + grain, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, form, quality=90)
    return file.getvalue()


def write_crawl(
    path: Path, pages: dict[str, str], images: dict[str, bytes], robots: dict[str, str] | None = None
) -> Path:
    """Names below SITE; pages as HTML. robots: what a server's X-Robots-Tag says of an image."""
    with open(path, "wb") as file:
        warc = WarcWriter(file)
        for name, html in pages.items():
            warc.answer(SITE + name, "text/html; charset=utf-8", html.encode())
        for name, data in images.items():
            said = {"X-Robots-Tag": robots[name]} if robots and name in robots else {}
            warc.answer(SITE + name, "image/jpeg", data, said)
    return path


ENGLISH = "<p>We went there early in the morning, before any of the others had even woken up, and walked around.</p>"


def page(*elements: str, title: str = "A day in the hills") -> str:
    return f"<html><head><title>{title}</title></head><body>{ENGLISH}{''.join(elements)}</body></html>"


def collected(
    output: Path, *inputs: Path, workers: int = 1, never: tuple[Path, ...] = (), **settings
) -> dict:
    """settings: sections of the settings."""
    own = CurateSettings.model_validate(settings)
    return curate(Wishes(list(inputs), [], list(never), output, own, workers))


def rule(report: dict, name: str) -> int:
    """How many a rule dropped."""
    (found,) = [one for one in report["rules"] if one["rule"] == name]
    return found["in"] - found["out"]
