"""A packed batch of text alone against the padded forward with text alone."""

from dataclasses import replace

import pytest
import torch
from made_batches import make_batch, tiny_config

from interbert.model import InterBertForPreTraining
from interbert.model.padded import pad

LENGTHS = [5, 9, 3]


def text_batch(width: int):
    """Second segments in it; `width`: of the features, of which there are none."""
    batch = make_batch(LENGTHS, [0, 0, 0], mask=False)
    types = (torch.arange(sum(LENGTHS)) % 2).long()
    features = torch.zeros(0, width, dtype=torch.float16)
    return replace(batch, text_only=True, token_types_T=types, features_RD=features, max_regions=0)


def stage(kind: str) -> dict:
    return {"kind": kind, "layers": 2, "heads": 4, "intermediate_size": 48}


@pytest.mark.parametrize(
    "override",
    [
        {},
        {"global_token": "none"},
        {"stages": [stage("joint")], "match_head": "cls", "words_see_image": True},
        {"stages": [stage("text"), stage("cross")]},
    ],
)
def test_text_alone_packed_equals_padded(override):
    model = InterBertForPreTraining.from_seed(tiny_config(**override), seed=1).eval()
    batch = text_batch(width=0)
    base = model.interbert
    layout = base.layout_of(batch)
    assert layout.image_tokens == 0 and batch.tokens == sum(LENGTHS)
    streams = base.encode(batch, layout)
    (ids, real), (types, _) = (pad(x, batch.cu_text, 9) for x in (batch.input_ids_T, batch.token_types_T))
    padded = base(input_ids=ids, attention_mask=real, token_type_ids=types)
    torch.testing.assert_close(streams.text_TH, padded.text_hidden[real], rtol=1e-5, atol=1e-5)
    assert streams.image_VH.shape[0] == 0
    text, image = base.pool(streams, layout)
    assert image is None
    if text is not None:
        torch.testing.assert_close(text, padded.text_pooled, rtol=1e-5, atol=1e-5)


def test_the_image_side_gets_gradients_of_zero():
    """So that every rank's parameters have some, which ZeRO-3 needs."""
    model = InterBertForPreTraining.from_seed(tiny_config(), seed=1)
    batch = text_batch(width=0)
    streams = model.interbert.encode(batch, model.interbert.layout_of(batch))
    (streams.text_TH.sum() + streams.image_VH.sum()).backward()
    gradients = {n: p.grad for n, p in model.interbert.named_parameters() if "pooler" not in n}
    assert all(gradient is not None for gradient in gradients.values())
    assert not gradients["image_embeddings.features.weight"].any()
