"""What one step of benchmarks/train_step.py computes on, and how many operations that is."""

import torch

from interbert.batches.batch import Batch
from interbert.model import InterBertConfig

TEXT, REGIONS = (8, 24), (10, 36)
MASKED_SHARE = 0.2


def make_batch(config: InterBertConfig, pairs: int, seed: int = 0) -> Batch:
    """Captions of 8-24 tokens, 10-36 regions, a fifth of words and regions masked, half the pairs true."""
    g = torch.Generator().manual_seed(seed)
    text = torch.randint(TEXT[0], TEXT[1] + 1, (pairs,), generator=g)
    regions = torch.randint(REGIONS[0], REGIONS[1] + 1, (pairs,), generator=g)
    tokens, rows = int(text.sum()), int(regions.sum())
    masked_tokens = (torch.rand(tokens, generator=g) < MASKED_SHARE).nonzero()[:, 0]
    zeroed = torch.rand(rows, generator=g) < MASKED_SHARE
    masked_regions = zeroed.nonzero()[:, 0]
    probs = torch.randn(len(masked_regions), config.classes, generator=g).mul(3).softmax(-1)
    return Batch(
        input_ids_T=torch.randint(1000, config.vocab_size, (tokens,), generator=g),
        token_types_T=torch.zeros(tokens, dtype=torch.int64),
        cu_text=_offsets(text),
        features_RD=torch.randn(rows, config.feature_width, generator=g).relu().half(),
        boxes_R5=torch.rand(rows, 5, generator=g),
        zeroed_R=zeroed,
        cu_regions=_offsets(regions),
        masked_tokens_M=masked_tokens,
        token_targets_M=torch.randint(1000, config.vocab_size, (len(masked_tokens),), generator=g),
        masked_regions_N=masked_regions,
        class_probs_NK=probs.half(),
        class_labels_N=probs.argmax(-1),
        is_match_P=torch.arange(pairs) % 2,
        max_text=int(text.max()),
        max_regions=int(regions.max()),
        images_P=torch.arange(pairs),
        captions_P=torch.arange(pairs),
    )


def _offsets(lengths: torch.Tensor) -> torch.Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).int()


def model_operations(config: InterBertConfig, batch: Batch) -> float:
    """Operations of forward and backward that the model asks for: matrix products over real tokens.

    Backward counts twice the forward, but once where no gradient goes to the input (region features, boxes).
    Nothing else counts: no norm, no softmax, no recomputation, no padding, no optimizer.
    """
    H, Q, P = config.hidden_size, config.pooler_size, batch.pairs
    text = batch.cu_text.diff().double()
    image = batch.cu_regions.diff().double() + 1
    lengths = {"text": text, "image": image, "joint": text + image}
    products = 0.0  # multiply-adds of a forward pass
    for stage in config.encoder_stages:
        length = lengths[stage.kind]
        linear = (4 * H * H + 2 * H * stage.intermediate_size) * length.sum()
        attention = 2 * H * length.square().sum()
        products += stage.layers * float(linear + attention)
    masked_tokens, masked_regions = batch.masked_tokens_M.numel(), batch.masked_regions_N.numel()
    products += masked_tokens * (H * H + H * config.vocab_size) + masked_regions * (
        H * H + H * config.classes
    )
    products += 2 * P * H * Q + 2 * P * Q
    features = float(image.sum()) * (config.feature_width + 5) * H
    return 6 * products + 4 * features
