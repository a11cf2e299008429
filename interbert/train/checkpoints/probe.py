"""A loss that shows whether weights are what they were: of a batch made of nothing but the model's sizes.

It lies in each checkpoint's state, and is computed again after loading.
"""

import numpy as np
import torch

from interbert.batches.batch import Batch
from interbert.model import InterBertConfig
from interbert.ranks.distributed import Ranks
from interbert.train.checkpoints.checkpoint import CheckpointError
from interbert.train.engine.engine import Engine

TEXT, REGIONS = (5, 9, 4), (3, 1, 6)
CLOSE = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 2e-3}
"""As a share of the loss: other ranks and stages add in another order."""


def probe_loss(engine: Engine, batch: Batch, ranks: Ranks) -> float:
    return engine.evaluate([batch], [1.0], ranks)["loss"]


def check_probe(found: float, saved: float, precision: str, checkpoint: str) -> None:
    if not abs(found - saved) <= CLOSE[precision] * max(1.0, abs(saved)):
        raise CheckpointError(
            f"{checkpoint}: with the weights loaded from it the probe's loss is {found:.6g}, but it was {saved:.6g} "
            "when they were saved; another version of the model may have read them. Take the version that saved it "
            "(environment.json names its commit), or another checkpoint"
        )


def probe_batch(config: InterBertConfig) -> Batch:
    """Three pairs, a third of their words and regions masked; the same wherever it is made."""
    drawn = np.random.Generator(np.random.PCG64(0))
    tokens, regions, pairs = sum(TEXT), sum(REGIONS), len(TEXT)
    masked_tokens, masked_regions = torch.arange(1, tokens, 3), torch.arange(0, regions, 3)
    zeroed = torch.zeros(regions, dtype=torch.bool)
    zeroed[masked_regions] = True
    probabilities = drawn.random((len(masked_regions), max(config.classes, 1)))
    probabilities /= probabilities.sum(1, keepdims=True)
    corners = drawn.random((regions, 2)) / 2
    boxes = np.concatenate([corners, corners + 0.4, np.full((regions, 1), 0.16)], axis=1)
    return Batch(
        input_ids_T=torch.from_numpy(drawn.integers(0, config.vocab_size, tokens)),
        token_types_T=torch.zeros(tokens, dtype=torch.int64),
        cu_text=_offsets(TEXT),
        features_RD=torch.from_numpy(drawn.random((regions, config.feature_width))).half(),
        boxes_R5=torch.from_numpy(boxes).float(),
        zeroed_R=zeroed,
        cu_regions=_offsets(REGIONS),
        masked_tokens_M=masked_tokens,
        token_targets_M=torch.from_numpy(drawn.integers(0, config.vocab_size, len(masked_tokens))),
        masked_regions_N=masked_regions,
        class_probs_NK=torch.from_numpy(probabilities).half(),
        class_labels_N=torch.from_numpy(probabilities.argmax(1)),
        is_match_P=torch.tensor([1, 0, 1]),
        max_text=max(TEXT),
        max_regions=max(REGIONS),
        images_P=torch.arange(pairs),
        captions_P=torch.arange(pairs),
    )


def _offsets(lengths: tuple[int, ...]) -> torch.Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).int()
