"""The match head over pairs of two sides."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interbert.model.interbert import InterBertForPreTraining
from interbert.model.packing.attention import WithinPairs, ask_packed, offsets_of
from interbert.model.packing.layout import Layout, layout
from interbert.model.packing.streams import Streams
from interbert.model.shared.few import attend_few
from interbert.model.shared.sides import Side, Sides, offsets
from interbert.model.shared.steps import Step, backward_from_the_head, before_the_meeting


@dataclass
class Pairs:
    """Rows of some pairs, gathered from two sides."""

    streams: Streams
    qkv: dict[str, Tensor]
    """[N, 3, heads, width] of the first layer, by stream: of joint rows, or of both streams' rows, or nothing."""
    layout: Layout


@dataclass(frozen=True)
class Filling:
    """More pairs, which mean nothing: rows of each stream become multiples of `rows`, and pairs of `pairs`."""

    rows: int
    pairs: int
    text: int
    image: int
    """Most rows that any pair has, of those here and of those that are filled in."""

    def lengths(self, image_P: np.ndarray, text_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """With those that are added."""
        more = -len(text_P) % self.pairs or self.pairs
        while True:
            # Each has a row at least of both.
            image, text = (more + (-(x_P.sum() + more) % self.rows) for x_P in (image_P, text_P))
            if image <= more * self.image and text <= more * self.text:
                return np.append(image_P, _spread(image, more)), np.append(text_P, _spread(text, more))
            more += self.pairs


class SharedMatch:
    """Of a model in evaluation mode whose weights are whole on this rank."""

    def __init__(self, model: InterBertForPreTraining) -> None:
        self.base = model.interbert
        layers = [(stage.kind, layer) for stage in self.base.stages for layer in stage]
        meeting = before_the_meeting(layers)
        self.from_the_meeting = layers[meeting:]
        self.steps = backward_from_the_head(layers[meeting:], reads_image=self.base.image_pooler is not None)
        self.sides = Sides(
            self.base, layers[:meeting], {name: self._meets(name) for name in ("text", "image")}
        )

    def pairs(
        self,
        images: Side,
        captions: Side,
        images_P: np.ndarray,
        captions_P: np.ndarray,
        filling: Filling | None = None,
    ) -> Pairs:
        """The pairs (images_P[p], captions_P[p]), ready to be run; behind them those of the filling."""
        device = images.x_SH.device
        image_P, text_P = images.lengths[images_P], captions.lengths[captions_P]
        longest = int(text_P.max()), int(image_P.max())
        if filling is not None:
            image_P, text_P = filling.lengths(image_P, text_P)
            images_P, captions_P = (
                np.pad(x_P, (0, len(text_P) - len(x_P))) for x_P in (images_P, captions_P)
            )
            longest = filling.text, filling.image
        regions_P = image_P - self.sides.added
        at = layout(
            offsets(text_P, device),
            offsets(regions_P, device),
            tokens=int(text_P.sum()),
            regions=int(regions_P.sum()),
            max_text=longest[0],
            max_regions=longest[1] - self.sides.added,
            global_token=bool(self.sides.added),
        )
        from_V, from_T = images.rows(images_P, image_P, device), captions.rows(captions_P, text_P, device)
        if images.whole_BD is not None:
            whole_PD = images.whole_BD[torch.from_numpy(images_P).to(device)]
            captions = self.sides.captions_before_images(captions.x_SH[from_T], text_P, whole_PD)
            from_T = torch.arange(len(from_T), device=device)
        return self._gathered(images, captions, from_V, from_T, at)

    def run(self, pairs: Pairs) -> tuple[Tensor, ...]:
        """What the match head reads of each pair."""
        streams, at, first = pairs.streams, pairs.layout, {}
        for number, step in enumerate(self.steps):
            qkv = pairs.qkv if number == 0 else {}
            if step.kind == "cross":
                first |= _cross(step, streams, at, qkv)
            elif step.takes_all:
                x_NH = streams.get(step.kind)
                given = qkv[step.kind] if qkv else step.layer.split_heads(x_NH)
                streams.put(step.kind, step.layer.finish(x_NH, WithinPairs(at, step.kind)(given, 0.0)))
            else:
                first |= _first_rows(step, streams, at)
        poolers = {"text": self.base.text_pooler, "image": self.base.image_pooler}
        read = []
        for name in ("text", "image") if poolers["image"] is not None else ("text",):
            x_PH = first.get(name)
            if x_PH is None:
                x_PH = streams.get(name).index_select(0, first_rows(name, name, at))
            read.append(x_PH if poolers[name] is None else poolers[name].of_first(x_PH))
        return tuple(read)

    def _meets(self, name: str) -> torch.nn.Module | None:
        if not self.steps or not self.steps[0].takes_all:
            return None
        return self.steps[0].layer[name] if self.steps[0].kind == "cross" else self.steps[0].layer

    def _gathered(self, images: Side, captions: Side, from_V: Tensor, from_T: Tensor, at: Layout) -> Pairs:
        joins = bool(self.steps) and self.steps[0].kind == "joint"
        from_J = torch.cat([from_V, from_T + len(images.x_SH)])[at.stream_of_J] if joins else None

        def gather(image: Tensor, text: Tensor) -> dict[str, Tensor]:
            if from_J is not None:
                return {"joint": torch.cat([image, text]).index_select(0, from_J)}
            return {"image": image.index_select(0, from_V), "text": text.index_select(0, from_T)}

        rows = gather(images.x_SH, captions.x_SH)
        streams = Streams.joined(rows["joint"], at) if joins else Streams(rows["image"], rows["text"], at)
        if images.qkv_S is None:
            return Pairs(streams, {}, at)
        layers = {"joint": self.sides.meets["text"], **self.sides.meets}
        qkv = gather(images.qkv_S, captions.qkv_S)
        return Pairs(streams, {n: layers[n].in_heads(x) for n, x in qkv.items()}, at)


def _spread(total: int, over: int) -> np.ndarray:
    return np.diff(np.arange(over + 1) * int(total) // over)


def first_rows(stream: str, name: str, at: Layout) -> Tensor:
    """Rows of `stream` that hold the first token of each pair's text or image."""
    first_P = at.text_first_P if name == "text" else at.image_first_P
    if stream != "joint":
        return first_P
    return at.joint_of_S[first_P + (at.image_tokens if name == "text" else 0)]


def _first_rows(step: Step, streams: Streams, at: Layout) -> dict[str, Tensor]:
    """The wanted streams' first tokens [P, H] after a layer of one stream, or of joint rows."""
    x_NH, (cu, longest) = streams.get(step.kind), offsets_of(at, step.kind)
    names = [name for name in ("text", "image") if step.wanted(name) == "first"]
    asking_PQH = torch.stack([x_NH.index_select(0, first_rows(step.kind, n, at)) for n in names], 1)
    seen_PQH = attend_few(step.layer, step.layer, asking_PQH, x_NH, cu, longest)
    done_NH = step.layer.finish(asking_PQH.flatten(0, 1), seen_PQH.flatten(0, 1)[:, None])
    return dict(zip(names, done_NH.view_as(asking_PQH).unbind(1), strict=True))


def _cross(step: Step, streams: Streams, at: Layout, qkv: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each stream asks the other: those wanted whole are put back, of the others the first tokens are returned."""
    before = {"image": streams.image_VH, "text": streams.text_TH}
    if step.takes_all and not qkv:
        qkv = {name: step.layer[name].split_heads(x_NH) for name, x_NH in before.items()}
    after, first = dict(before), {}
    for name, other in (("image", "text"), ("text", "image")):
        asks = step.layer[name]
        if step.wanted(name) == "all":
            seen = ask_packed(at)(name, qkv[name][:, 0], qkv[other], 0.0)
            after[name] = asks.finish(before[name], seen)
        elif step.wanted(name) == "first":
            asking_PH = before[name].index_select(0, first_rows(name, name, at))
            cu, longest = offsets_of(at, other)
            seen = attend_few(asks, step.layer[other], asking_PH[:, None], before[other], cu, longest)
            first[name] = asks.finish(asking_PH, seen)
    streams.put_apart(after["image"], after["text"])
    return first
