"""Small pictures of images, for the page."""

import base64
from io import BytesIO
from typing import Any

from interbert.curate.images.index import Index
from interbert.curate.stages.plan import Plan
from interbert.curate.stages.write import Files
from interbert.sources.images.decode import Limits, decoded

SIDE = 150


class Thumbnails:
    def __init__(self, plan: Plan) -> None:
        self._files, self._index, self._limits = Files(plan), Index(plan.work), Limits(16)
        self._known: dict[tuple[int, int, int], str] = {}

    def of(self, example: dict[str, Any]) -> str:
        """As the address of data; empty: there is no picture to be had."""
        if "unit" in example:
            where = (example["unit"], example["place"], example["bytes"])
        elif example.get("row") is not None:
            facts = self._index.facts[example["row"]]
            where = (int(facts["unit"]), int(facts["place"]), int(facts["bytes"]))
        else:
            return ""
        if where not in self._known:
            self._known[where] = self._draw(*where)
        return self._known[where]

    def _draw(self, unit: int, place: int, size: int) -> str:
        try:
            data = self._files.data(unit, place, size)
            with decoded(data, self._limits, lambda width, height: (2 * SIDE, 2 * SIDE)) as picture:
                image = picture.image.copy()
        except Exception:  # whatever a damaged file makes an archive or a decoder say
            return ""
        image.thumbnail((SIDE, SIDE))
        file = BytesIO()
        image.save(file, "JPEG", quality=70)
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
