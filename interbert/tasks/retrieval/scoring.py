"""How well sentences fit an image: the simple call, for an image of a store or one of your own."""

from collections.abc import Sequence

import numpy as np
import torch

from interbert.batches.prepare import box_shares
from interbert.model.interbert import InterBertForPreTraining
from interbert.tokenizer import Tokenizer


class ScoringError(ValueError):
    """A model and regions that do not belong together."""


def score(
    model: InterBertForPreTraining,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    features_RD: np.ndarray,
    boxes_R4: np.ndarray,
    size: tuple[int, int],
) -> list[float]:
    """The probability that each sentence matches the image. Boxes in pixels; size 0, 0: as shares of 1."""
    width = model.config.feature_width
    if features_RD.shape[1] != width:
        raise ScoringError(
            f"the regions' features are {features_RD.shape[1]} wide, the model takes {width}: use the detector (or "
            "the store) whose features it was trained on"
        )
    if "match" not in model.heads:
        raise ScoringError("the model has no match head (prediction_heads in its config.json)")
    ids = tokenizer.encode(list(sentences), model.config.max_position_embeddings)
    longest = max(map(len, ids))
    padded = torch.tensor([row + [tokenizer.pad_id] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    # Stores hold halves: an image scores the same from a store and from its file.
    features = torch.from_numpy(features_RD.astype(np.float16).astype(np.float32))
    shares = torch.from_numpy(box_shares(boxes_R4, np.array([len(boxes_R4)]), np.array([size])))
    with torch.inference_mode():
        output = model.eval()(
            input_ids=padded,
            attention_mask=mask,
            region_features=features.expand(len(ids), -1, -1),
            region_boxes=shares.expand(len(ids), -1, -1),
            region_mask=torch.ones(len(ids), len(features), dtype=torch.long),
            add_global=True,
        )
    return output.match_probability.tolist()
