"""Handmade packed batches for tests of the model."""

import torch
from torch import Tensor

from interbert.batches.batch import Batch
from interbert.model import InterBertConfig

CLASSES, WIDTH, WORDS = 7, 12, 50
CLS, SEP, MASK = 1, 2, 3


def tiny_config(**override) -> InterBertConfig:
    def stage(kind: str, heads: int) -> dict:
        return {"kind": kind, "layers": 2, "heads": heads, "intermediate_size": 48}

    fields = {
        "vocab_size": WORDS,
        "hidden_size": 24,
        "max_position_embeddings": 24,
        "feature_width": WIDTH,
        "classes": CLASSES,
        "pooler_size": 20,
        "stages": [stage("joint", 4), stage("text", 4), stage("image", 3)],
        "prediction_heads": ["tokens", "regions", "features", "match"],
        "initializer_range": 0.3,
    }
    return InterBertConfig(**{**fields, **override})


def offsets(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).int()


def make_batch(text: list[int], regions: list[int], *, mask: bool = True, seed: int = 0) -> Batch:
    """A batch with these caption lengths and region counts; every third word and region is masked."""
    g = torch.Generator().manual_seed(seed)
    tokens, rows, pairs = sum(text), sum(regions), len(text)
    cu_text, cu_regions = offsets(text), offsets(regions)
    ids = torch.randint(4, WORDS, (tokens,), generator=g)
    ids[cu_text[:-1][cu_text[:-1] < tokens].long()] = CLS
    masked_tokens = torch.arange(1, tokens, 3) if mask else torch.zeros(0, dtype=torch.int64)
    masked_regions = torch.arange(0, rows, 3) if mask else torch.zeros(0, dtype=torch.int64)
    targets = ids[masked_tokens].clone()
    ids[masked_tokens] = MASK
    zeroed = torch.zeros(rows, dtype=torch.bool)
    zeroed[masked_regions] = True
    probs = torch.rand(len(masked_regions), CLASSES, generator=g).mul(4).softmax(-1)
    corner = torch.rand(rows, 2, generator=g) * 0.5
    size = torch.rand(rows, 2, generator=g) * 0.5
    return Batch(
        input_ids_T=ids,
        token_types_T=torch.zeros(tokens, dtype=torch.int64),
        cu_text=cu_text,
        features_RD=torch.randn(rows, WIDTH, generator=g),
        boxes_R5=torch.cat([corner, corner + size, size.prod(1, keepdim=True)], 1),
        zeroed_R=zeroed,
        cu_regions=cu_regions,
        masked_tokens_M=masked_tokens,
        token_targets_M=targets,
        masked_regions_N=masked_regions,
        class_probs_NK=probs,
        class_labels_N=probs.argmax(-1),
        is_match_P=torch.arange(pairs) % 2,
        max_text=max(text),
        max_regions=max(regions),
        images_P=torch.arange(pairs),
        captions_P=torch.arange(pairs),
    )


def single_pair(batch: Batch, pair: int) -> Batch:
    """One pair of a batch, without masks' targets."""
    text = slice(*batch.cu_text[pair : pair + 2].tolist())
    regions = slice(*batch.cu_regions[pair : pair + 2].tolist())
    alone = make_batch([text.stop - text.start], [regions.stop - regions.start], mask=False)
    alone.input_ids_T = batch.input_ids_T[text]
    alone.features_RD, alone.boxes_R5 = batch.features_RD[regions], batch.boxes_R5[regions]
    alone.zeroed_R = batch.zeroed_R[regions]
    return alone
