"""Which keys of theirs make which parameter of ours, and moving them across."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interbert.model.convert.report import Report


@dataclass(frozen=True)
class Part:
    ours: str
    theirs: tuple[str, ...]
    """Several are stacked, as queries, keys and values are."""
    make: Callable[..., Tensor] | None = None
    """What makes the parameter of them where they are not simply stacked."""


def pair(ours: str, *theirs: str) -> list[Part]:
    """Weight and bias."""
    return [Part(f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in theirs)) for kind in ("weight", "bias")]


def layer(ours: str, theirs: str) -> list[Part]:
    """A transformer layer in BERT's names."""
    attention = [f"{theirs}.attention.self.{name}" for name in ("query", "key", "value")]
    return [
        *pair(f"{ours}.qkv", *attention),
        *pair(f"{ours}.out", f"{theirs}.attention.output.dense"),
        *pair(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm"),
        *pair(f"{ours}.up", f"{theirs}.intermediate.dense"),
        *pair(f"{ours}.down", f"{theirs}.output.dense"),
        *pair(f"{ours}.norm", f"{theirs}.output.LayerNorm"),
    ]


def text_embeddings(ours: str, theirs: str) -> list[Part]:
    return [
        Part(f"{ours}.words.weight", (f"{theirs}.word_embeddings.weight",)),
        Part(f"{ours}.positions.weight", (f"{theirs}.position_embeddings.weight",)),
        Part(f"{ours}.types.weight", (f"{theirs}.token_type_embeddings.weight",)),
        *pair(f"{ours}.norm", f"{theirs}.LayerNorm"),
    ]


def word_head(ours: str, theirs: str) -> list[Part]:
    """Without the decoder's weight, which is the word embedding."""
    return [
        *pair(f"{ours}.transform.dense", f"{theirs}.transform.dense"),
        *pair(f"{ours}.transform.norm", f"{theirs}.transform.LayerNorm"),
        Part(f"{ours}.decoder.bias", (f"{theirs}.bias",)),
    ]


def poolers_and_heads(heads: Collection[str], regions: str) -> list[Part]:
    """In the names of ViLBERT's descendants. regions: the layer of theirs that tells a region's class."""
    found = pair("interbert.text_pooler.dense", "bert.t_pooler.dense")
    found += pair("interbert.image_pooler.dense", "bert.v_pooler.dense")
    if "tokens" in heads:
        found += word_head("heads.tokens", "cls.predictions")
    if "regions" in heads:
        found += pair("heads.regions.transform.dense", "cls.imagePredictions.transform.dense")
        found += pair("heads.regions.transform.norm", "cls.imagePredictions.transform.LayerNorm")
        found += pair("heads.regions.decoder", f"cls.imagePredictions.{regions}")
    if "match" in heads:
        found += pair("heads.match.classifier", "cls.bi_seq_relationship")
    return found


@torch.no_grad()
def transfer(
    model: nn.Module,
    weights: dict[str, Tensor],
    parts: list[Part],
    report: Report,
    set_aside: tuple[str, ...] = (),
    allow_missing: tuple[str, ...] = (),
) -> list[str]:
    """Fills the model, all or nothing as far as the report is clean; returns the parameters that were filled."""
    matched = match(model, weights, parts, report, set_aside, allow_missing)
    parameters = dict(model.named_parameters())
    if report.clean:
        for name, part in matched.items():
            parameters[name].copy_(stacked(part, weights))
    return list(matched)


def match(
    model: nn.Module,
    weights: dict[str, Tensor],
    parts: list[Part],
    report: Report,
    set_aside: tuple[str, ...] = (),
    allow_missing: tuple[str, ...] = (),
) -> dict[str, Part]:
    """Which part fills which parameter, and in the report what does not fit.

    `set_aside` are keys or prefixes without a place here; `allow_missing` parts of our names that may stay random.
    """
    parameters = dict(model.named_parameters())
    matched = {
        part.ours: part
        for part in parts
        if _fits(part, parameters[part.ours].shape, weights, report, _names(part.ours, allow_missing))
    }
    known = {name for part in parts for name in part.theirs}
    for name in weights:
        if name not in known:
            (report.set_aside if _names(name, set_aside) else report.unused).append(name)
    report.left_random = [name for name in parameters if name not in matched]
    return matched


def stacked(part: Part, weights: dict[str, Tensor]) -> Tensor:
    pieces = [weights[name].float() for name in part.theirs]
    return part.make(*pieces) if part.make else torch.cat(pieces)


def _fits(part: Part, shape: torch.Size, weights: dict[str, Tensor], report: Report, may_miss: bool) -> bool:
    absent = [name for name in part.theirs if name not in weights]
    if absent:
        if not (may_miss and len(absent) == len(part.theirs)):
            report.missing += absent
        return False
    if part.make:
        return _made_fits(part, shape, weights, report)
    needed = (shape[0] // len(part.theirs), *shape[1:])
    wrong = [name for name in part.theirs if tuple(weights[name].shape) != needed]
    for name in wrong:
        report.wrong_shape.append(f"{name}: {list(weights[name].shape)} there, {list(needed)} needed")
    if wrong:
        return False
    report.used += part.theirs
    return True


def _made_fits(part: Part, shape: torch.Size, weights: dict[str, Tensor], report: Report) -> bool:
    try:
        made = tuple(stacked(part, weights).shape)
    except (IndexError, RuntimeError) as error:
        made = str(error)
    if made != tuple(shape):
        told = list(made) if isinstance(made, tuple) else made
        report.wrong_shape.append(f"{', '.join(part.theirs)}: gives {told}, {list(shape)} needed")
        return False
    report.used += [name for name in part.theirs if name not in report.used]
    return True


def take_copies(weights: dict[str, Tensor], copies: dict[str, str], report: Report) -> None:
    """Takes away keys that hold another one's numbers a second time. copies: key -> the other one."""
    for name, other in copies.items():
        if name not in weights or other not in weights:
            continue
        if weights[name].shape == weights[other].shape and torch.equal(weights[name], weights[other]):
            report.used.append(name)
        else:
            report.wrong_shape.append(f"{name}: differs from {other}, but here they are one")
        del weights[name]


def plain_names(weights: dict[str, Tensor], prefixes: dict[str, str] | None = None) -> dict[str, Tensor]:
    """With the names that LayerNorm's weights have had since BERT's first release, and other prefixes."""
    older = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    plain = {}
    for name, value in weights.items():
        for old, new in older.items():
            name = name.replace(old, new)
        for old, new in (prefixes or {}).items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
        plain[name] = value
    return plain


def _names(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@torch.no_grad()
def give_back(model: nn.Module, parts: list[Part]) -> dict[str, Tensor]:
    """The other way round: their keys from our parameters."""
    parameters = dict(model.named_parameters())
    weights = {}
    for part in parts:
        pieces = parameters[part.ours].detach().cpu().chunk(len(part.theirs))
        weights.update({name: piece.clone() for name, piece in zip(part.theirs, pieces, strict=True)})
    return weights
