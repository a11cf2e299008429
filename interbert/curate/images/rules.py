"""The rules of images on their pages, one after another: the first that an image breaks drops it."""

from dataclasses import dataclass

import numpy as np

from interbert.curate.images.facts import BROKEN, OPTED_OUT
from interbert.curate.settings import ImageRules

PAGE_RULES = ("opt_out", "not_found", "decoration", "decodes", "dominant", "sides", "ratio", "bytes")


@dataclass(frozen=True)
class OnPage:
    """An image of a page, and the page's images as a whole."""

    width: int
    height: int
    """As it is shown there."""
    decoration: str
    largest: int
    """Area of the page's largest image that is no decoration."""
    together: int
    """Area of all of these."""

    @property
    def area(self) -> int:
        return self.width * self.height


def shown_size(width: int, height: int, facts: np.void) -> tuple[int, int]:
    """Of what a page says of width and height, and of what the file has."""
    own_width, own_height = int(facts["width"]), int(facts["height"])
    if width and height:
        return width, height
    if not own_width or not own_height:
        return width, height
    if width:
        return width, round(own_height * width / own_width)
    if height:
        return round(own_width * height / own_height), height
    return own_width, own_height


def broken_rule(facts: np.void, on_page: OnPage, rules: ImageRules) -> tuple[str, str] | None:
    """Of an image whose file was found."""
    width, height, size = int(facts["width"]), int(facts["height"]), int(facts["bytes"])
    if facts["state"] == OPTED_OUT:
        return "opt_out", "its server says so"
    if on_page.decoration:
        return "decoration", on_page.decoration
    if facts["state"] == BROKEN or not width:
        return "decodes", "not a readable image"
    if on_page.area < rules.min_area_of_largest * on_page.largest:
        return "dominant", f"{on_page.area / on_page.largest:.0%} of the largest image's area"
    if on_page.area < rules.min_area_of_all * on_page.together:
        return "dominant", f"{on_page.area / on_page.together:.1%} of the area of the page's images"
    if min(width, height) <= rules.larger_than:
        return "sides", f"{width} x {height} pixels"
    if max(width, height) > rules.max_ratio * min(width, height):
        return "ratio", f"{width} x {height} pixels, {max(width, height) / min(width, height):.2g} to 1"
    if size < rules.min_bytes:
        return "bytes", f"{size:,} bytes"
    return None
