"""Parameters and operations of a model, told from its shape alone, without building it."""

from dataclasses import dataclass

from interbert.model.shape.shape import SEARCH_LOOKS, Shape, Stage, TaskShape


def parameters(shape: Shape) -> dict[str, int]:
    """Of each part, by the names of the model's modules; the word head's decoder is the word embedding."""
    hidden, pooler = shape.hidden_size, shape.pooler_size
    words = (shape.vocab_size + shape.max_position_embeddings + shape.type_vocab_size) * hidden
    sees_image = _linear(shape.feature_width, hidden) if shape.words_see_image else 0
    places = 2 * hidden if shape.visual_place else 0
    parts = {
        "text_embeddings": words + sees_image + _norm(hidden),
        "image_embeddings": _linear(shape.feature_width, hidden)
        + _linear(5, hidden)
        + places
        + {"own": 1, "text": 0, "parts": 3}[shape.image_norm] * _norm(hidden),
    }
    for number, stage in enumerate(shape.encoder_stages):
        parts[f"stages.{number}"] = _stage(hidden, stage)
    if shape.match_head in ("fused", "pooled"):
        parts["text_pooler"] = _linear(hidden, pooler)
    if shape.match_head == "fused":
        parts["image_pooler"] = _linear(hidden, pooler)
    transform = _linear(hidden, hidden) + _norm(hidden)
    heads = {
        "tokens": transform + shape.vocab_size,
        "regions": transform + _linear(hidden, shape.classes),
        "features": transform + _linear(hidden, shape.feature_width),
        "match": _linear(hidden, 1) if shape.match_head == "cls" else _linear(pooler, 2),
        "search": 2
        * (_linear(hidden, SEARCH_LOOKS) + _linear((SEARCH_LOOKS + 1) * hidden, shape.search_width)),
    }
    if shape.task is not None:
        parts["task"] = _task_head(shape, TaskShape(**shape.task))
    return parts | {f"heads.{name}": heads[name] for name in shape.prediction_heads or ()}


def _task_head(shape: Shape, task: TaskShape) -> int:
    width = shape.pooler_size if shape.match_head in ("fused", "pooled") else shape.hidden_size
    width = shape.hidden_size if task.kind == "point" else width * task.images
    pointing = shape.hidden_size if task.tags else 0
    if task.head == "linear":
        return _linear(width, task.outputs) + pointing
    return _linear(width, 2 * width) + _norm(2 * width) + _linear(2 * width, task.outputs) + pointing


@dataclass(frozen=True)
class Rows:
    """What a micro-batch holds."""

    text: int
    image: int
    joint: int
    masked_words: int


def operations(shape: Shape, rows: Rows) -> float:
    """Of a micro-batch: six for each weight that a token passes, and its heads' share.

    Attention's own products are left out: at these lengths they are a few per cent.
    """
    # Each token passes one half of a stage of co-attention.
    passing = {"text": rows.text, "image": rows.image, "joint": rows.joint, "cross": rows.joint / 2}
    weights = sum(passing[stage.kind] * _stage(shape.hidden_size, stage) for stage in shape.encoder_stages)
    return 6.0 * (weights + rows.masked_words * shape.vocab_size * shape.hidden_size)


def token_bytes(shape: Shape, precision: str, recompute: bool = False) -> float:
    """What a token of a micro-batch keeps from the forward to the backward pass, about, by torch's own operations.

    A layer keeps its input, queries, keys and values, what was attended to, two sums, their norm, two masks of
    dropout, and what enters and leaves the activation. With `recompute` its input alone.
    """
    hidden = shape.hidden_size
    of_kind = dict.fromkeys(("joint", "cross", "text", "image"), 0)
    for stage in shape.encoder_stages:
        of_kind[stage.kind] += stage.layers * (
            hidden if recompute else 9 * hidden + 2 * stage.intermediate_size
        )
    layers = of_kind["joint"] + of_kind["cross"] + max(of_kind["text"], of_kind["image"])
    heads = MASKED * 3 * (shape.vocab_size + shape.classes)
    return {"fp32": 4, "bf16": 2, "fp16": 2}[precision] * (layers + heads + 2 * shape.feature_width)


MASKED = 0.08
"""Of all tokens, the words that the word head scores, and the regions that theirs does."""


def _stage(hidden: int, stage: Stage) -> int:
    attention = _linear(hidden, 3 * hidden) + _linear(hidden, hidden) + _norm(hidden)
    feed_forward = _linear(hidden, stage.intermediate_size) + _linear(stage.intermediate_size, hidden)
    streams = 2 if stage.kind == "cross" else 1
    return streams * stage.layers * (attention + feed_forward + _norm(hidden))


def _linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def _norm(width: int) -> int:
    return 2 * width
