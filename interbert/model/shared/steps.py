"""Which layers a match depends on, and which of their rows."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

Wanted = Literal["all", "first", "none"]
"""Which rows of a stream anything behind a layer reads."""


@dataclass(frozen=True)
class Step:
    """A layer of the encoder, and what of its output is wanted."""

    kind: str
    layer: nn.Module
    text: Wanted
    image: Wanted

    def wanted(self, name: str) -> Wanted:
        return {"text": self.text, "image": self.image}[name]

    @property
    def takes_all(self) -> bool:
        """Whether it makes queries, keys and values of all rows; joint rows are computed all, or first ones alone."""
        return "all" in (self.text, self.image)


def before_the_meeting(layers: list[tuple[str, nn.Module]]) -> int:
    """How many layers there are before the first in which the streams meet."""
    return next((n for n, (kind, _) in enumerate(layers) if kind in ("joint", "cross")), len(layers))


def backward_from_the_head(layers: list[tuple[str, nn.Module]], reads_image: bool) -> list[Step]:
    """The head reads the first token of the text, and that of the image or not."""
    wanted: dict[str, Wanted] = {"text": "first", "image": "first" if reads_image else "none"}
    steps = []
    for kind, layer in reversed(layers):
        touched = ("text", "image") if kind in ("joint", "cross") else (kind,)
        asked: dict[str, Wanted] = {name: wanted[name] if name in touched else "none" for name in wanted}
        if set(asked.values()) == {"none"}:
            continue
        steps.append(Step(kind, layer, **asked))
        wanted.update(dict.fromkeys(touched, "all"))
    return steps[::-1]
