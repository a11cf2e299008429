"""Which regions the words of a text look at: the attention of the last layer in which both meet."""

from __future__ import annotations

import numpy as np
import torch

from interbert.batches.batch import unmasked_batch
from interbert.model.interbert import InterBertForPreTraining
from interbert.search.engine.jobs import Image
from interbert.search.requests import Explanation
from interbert.tokenizer import Tokenizer


@torch.inference_mode()
def explain(
    model: InterBertForPreTraining, tokenizer: Tokenizer, ids: np.ndarray, image: Image
) -> Explanation:
    device, regions = next(model.parameters()).device, len(image.boxes_R5)
    batch = unmasked_batch(
        torch.from_numpy(ids.astype(np.int64)),
        torch.tensor([0, len(ids)], dtype=torch.int32),
        torch.from_numpy(image.features_RD),
        torch.from_numpy(image.boxes_R5),
        torch.tensor([0, regions], dtype=torch.int32),
        max_text=len(ids),
        max_regions=regions,
        images_P=torch.zeros(1, dtype=torch.int64),
        captions_P=torch.zeros(1, dtype=torch.int64),
    ).to(device)
    maps = model.forward_packed(batch, (), output_attentions=True).attentions or {}
    weights_TR = _words_to_regions(maps, len(ids), regions)
    words = tuple(tokenizer.words(ids.tolist()))
    return Explanation(
        words[1:-1],
        tuple(tuple(row) for row in image.boxes_R5[:, :4].tolist()),
        tuple(tuple(row) for row in weights_TR[1:-1].tolist()),
    )


def _words_to_regions(maps: dict, words: int, regions: int) -> np.ndarray:
    """float32 [words, regions], the mean of heads. Regions stand behind the global token, words behind them."""
    if maps.get("joint"):
        weights_JJ = maps["joint"][-1][0].mean(0).float().cpu().numpy()
        return weights_JJ[-words:, -words - regions : -words]
    if maps.get("text_to_image"):
        return maps["text_to_image"][-1][0].mean(0).float().cpu().numpy()[:, -regions:]
    raise ValueError("words and regions never meet in this model: there is nothing to explain")
