"""What an export says beside what the model says, pair by pair at their own lengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from interbert.deploy.formats import ExportError, Run
from interbert.deploy.padded_model import PaddedModel
from interbert.deploy.pairs import Pair, padded

ALLOWED = 1e-4
"""Of an fp32 export: by so much of the largest number of an output (of 1 at least) it may differ."""
THEIRS = {
    "region_feature_predictions": "region_features",
    "match_logits": "itm_logits",
}
"""What the model's own forward calls outputs that have another name here."""


@dataclass
class Parity:
    output: str
    largest: float
    """Difference of any two numbers."""
    mean: float
    scale: float
    """The largest number that the model says, without its sign."""
    same: float | None = None
    """Share of examples with the same answer, where an output is answers."""


def parity(model: PaddedModel, run: Run, pairs: Sequence[Pair], batch: int = 8) -> list[Parity]:
    """Batches of mixed lengths, then the shortest and the longest pair alone."""
    apart = model.images
    groups = [pairs[n : n + apart] for n in range(0, len(pairs) - apart + 1, apart)]
    size = sorted(groups, key=lambda group: sum(len(ids) + len(boxes) for ids, _, boxes in group))
    starts = range(0, len(groups), batch)
    batches = [list(chain.from_iterable(groups[n : n + batch])) for n in starts] + [size[0], size[-1]]
    seen = {name: [] for name in model.outputs}
    for chosen in batches:
        inputs = padded(chosen)
        for name, ours, theirs in zip(model.outputs, wanted(model, inputs), run(inputs), strict=True):
            kept = _real(model, name, inputs)
            seen[name].append((ours[kept], theirs[kept], ours, theirs))
    return [_compared(name, found) for name, found in seen.items()]


def wanted(model: PaddedModel, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """By the packed model, which knows no padding."""
    with torch.inference_mode():
        said = model.model(*inputs, add_global=model.config.global_token != "none")
    width = inputs[3].shape[1]
    found = []
    for name in model.outputs:
        value = said[THEIRS.get(name, name)]
        found.append(value[:, -width:] if _of_regions(model, name) else value)
    return found


def _of_regions(model: PaddedModel, name: str) -> bool:
    return name.startswith("region") or (name == "logits" and model.model.shape.kind == "point")


def _real(model: PaddedModel, name: str, inputs: tuple[Tensor, ...]) -> Tensor | slice:
    """Where an output has numbers that are not of padding."""
    if name in ("text_hidden", "token_logits"):
        return inputs[1].bool()
    return inputs[5].bool() if _of_regions(model, name) else slice(None)


def _compared(name: str, found: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> Parity:
    ours = torch.cat([real.flatten() for real, _, _, _ in found]).double()
    theirs = torch.cat([real.flatten() for _, real, _, _ in found]).double()
    apart = (ours - theirs).abs()
    same = None
    if name in ("match_probability", "match_logits", "logits"):
        said = [(_answer(name, one), _answer(name, other)) for _, _, one, other in found]
        same = torch.cat([one == other for one, other in said]).double().mean().item()
    largest = apart.max().item() if torch.isfinite(theirs).all() else float("inf")
    return Parity(name, largest, apart.mean().item(), ours.abs().max().item(), same)


def _answer(name: str, value: Tensor) -> Tensor:
    if value.dim() == 1:
        return value > 0.5
    return value[:, 0] > 0 if value.shape[1] == 1 else value.argmax(1)


def check(found: Sequence[Parity]) -> None:
    """Of an export in fp32."""
    for one in found:
        if not one.largest <= ALLOWED * max(1.0, one.scale):
            raise ExportError(
                f"{one.output} of the export differs from the model's by {one.largest:.2g}, more than fp32 explains; "
                "nothing was written"
            )
