"""Plain calls: how well texts fit images, and what a tuned model answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interbert.inference.processor import InterBertProcessor, Text
from interbert.inference.stamp import Stamp, stamp_of
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.loading import load_ours
from interbert.model.task_head import InterBertFineTuned


@dataclass(frozen=True)
class Answer:
    answer: str
    probability: float


def score(model: str | Path, text: Text | Sequence[Text], **images: Any) -> list[float]:
    """The probability that each text and image belong together. model: a directory, such as runs/<name>/export.
    images: what `InterBertProcessor` takes: regions; images and detector; or image_ids and data."""
    matcher, processor = loaded(Path(model))
    if "match" not in matcher.heads:
        raise ValueError(f"{model}: the model has no match head (prediction_heads in its config.json)")
    inputs = processor(text, **images)
    if "region_features" not in inputs:
        raise ValueError("a match is of a text and an image: give regions, images or image_ids")
    with torch.inference_mode():
        return matcher(**inputs, heads=["match"]).match_probability.tolist()


def answer(
    model: str | Path, text: Text | Sequence[Text], most: int = 1, **images: Any
) -> list[list[Answer]] | list[float]:
    """Of each text (and image) the `most` likeliest classes of a model that was tuned to classify; of one that was
    tuned to score the number."""
    tuned, processor = loaded(Path(model))
    if not isinstance(tuned, InterBertFineTuned) or tuned.shape.kind not in ("classify", "score"):
        raise ValueError(
            f"{model}: not tuned to classify or to score; `interbert.score` says how well texts fit images, and the "
            "classes of `interbert.model` do the rest"
        )
    if tuned.shape.images != 1:
        raise ValueError(f"{model}: takes two images an example; give them to InterBertForVisualReasoning")
    with torch.inference_mode():
        logits = tuned(**processor(text, **images)).logits
    if tuned.shape.kind == "score":
        return logits[:, 0].tolist()
    shares, classes = logits.sigmoid() if tuned.shape.soft else logits.softmax(-1), tuned.shape.classes
    assert classes is not None
    return [_likeliest(row, classes, most) for row in shares]


def _likeliest(shares_K: Tensor, classes: list[str], most: int) -> list[Answer]:
    found = shares_K.topk(min(most, len(classes)))
    return [Answer(classes[n], p) for n, p in zip(found.indices.tolist(), found.values.tolist(), strict=True)]


def loaded(folder: Path) -> tuple[InterBertForPreTraining, InterBertProcessor]:
    """From memory, unless the directory is another by now."""
    return _loaded(folder.resolve(), stamp_of(folder))


@lru_cache(maxsize=2)
def _loaded(folder: Path, stamp: Stamp) -> tuple[InterBertForPreTraining, InterBertProcessor]:
    return load_ours(folder), InterBertProcessor.from_pretrained(folder)
