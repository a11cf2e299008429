"""One held-out pair as a picture: its regions, its words, and how the words attend to the regions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from interbert.batches.batch import Batch
from interbert.batches.unmasked import pair_batch
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.show.drawing import attention_picture, draw_regions
from interbert.tokenizer import Tokenizer

NOTE = "Words to regions (* global) in the last joint layer, mean of heads; rows relative to their largest."


class PairPicture:
    """Draws the same pair of the validation data each time, so that pictures of one run can be compared."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        corpus = Corpus(settings.data.validation)
        tokens = token_table(corpus, tokenizer, settings.data.max_text_tokens)
        image, caption = choose_pair(corpus)
        self._batch, boxes_R4 = pair_batch(corpus, tokens, image, caption, settings.data.max_regions)
        self._words = tokenizer.words(self._batch.input_ids_T.tolist())
        width, height = map(float, corpus.sizes[image])
        labels = region_labels(corpus, image, len(boxes_R4))
        self._scene = draw_regions(width, height, boxes_R4, labels, corpus.caption_text(caption))

    def __call__(self, model: nn.Module, device: torch.device) -> Image.Image:
        return validation_picture(model, self._batch.to(device), self._words, self._scene)


def choose_pair(corpus: Corpus) -> tuple[int, int]:
    """The first caption that is known to tell its image apart, or else the first one, and its image."""
    marked = np.flatnonzero(corpus.caption_kind[: corpus.captions])
    caption = int(marked[0]) if len(marked) else 0
    return int(corpus.caption_image[caption]), caption


def region_labels(corpus: Corpus, image: int, regions: int) -> list[str]:
    """Numbers, with the detector's best class where the data knows its name."""
    numbers = [str(row + 1) for row in range(regions)]
    probs_NK, labels_N = corpus.read_evidence(np.full(regions, image), np.arange(regions))
    if probs_NK is not None:
        labels_N = probs_NK.argmax(axis=1)
    names = corpus.class_names
    if names is None or labels_N is None:
        return numbers
    return [f"{number} {names[label]}" for number, label in zip(numbers, labels_N, strict=True)]


@torch.no_grad()
def validation_picture(
    model: Any, batch: Batch, words: Sequence[str], scene: Image.Image, title: str = ""
) -> Image.Image:
    """`batch` holds one pair, `words` its text tokens, `scene` its regions as drawn by `draw_regions`.

    The model should be in evaluation mode. Without joint layers there is nothing to look at but the scene.
    """
    heads = {"match"} & model.heads.keys()
    output = model.forward_packed(batch, heads, output_attentions=True)
    if heads:
        title = f"{title}   P(match) = {float(output.match_probability_P[0]):.3f}".strip()
    layers = output.attentions.get("joint")
    if not layers:
        return scene
    weights_JJ = layers[-1][0].mean(dim=0).cpu().numpy()
    regions = batch.boxes_R5.shape[0]
    image_tokens = len(weights_JJ) - len(words)
    names = ["*"] * (image_tokens - regions) + [str(row + 1) for row in range(regions)]
    return attention_picture(scene, words, weights_JJ[image_tokens:, :image_tokens], names, title, NOTE)
