"""Shared parts against the packed forward and its padded twin, for every architecture."""

import numpy as np
import pytest
import torch
from made_batches import make_batch, offsets, tiny_config

from interbert.batches.batch import Batch
from interbert.config import LoraSettings, TrainSettings
from interbert.model import InterBertForPreTraining
from interbert.model.beginning import fill
from interbert.model.outputs import match_probability
from interbert.model.padded import forward_padded
from interbert.model.shape.shape import preset
from interbert.model.shared.match import SharedMatch
from interbert.train.engine.adapters import with_adapters

REGIONS, TEXT = np.array([4, 7, 1]), np.array([5, 3, 8, 6])
IMAGES_P, CAPTIONS_P = np.array([2, 0, 1, 1, 0, 2, 2]), np.array([0, 0, 3, 1, 2, 3, 2])
"""Some of the pairs, in no order."""


def stages(*kinds: str) -> list[dict]:
    return [{"kind": kind, "layers": 2, "heads": 4, "intermediate_size": 48} for kind in kinds]


def architecture(name: str) -> dict:
    """The preset's shape with two layers a stage."""
    fields = preset("tiny", name)
    kinds = [stage["kind"] for stage in fields.pop("stages")]
    kept = {
        k: v
        for k, v in fields.items()
        if k in ("visual_place", "global_token", "words_see_image", "match_head")
    }
    return {**kept, "stages": stages(*kinds)}


SHAPES = {
    "interbert": architecture("interbert"),
    "imagebert": architecture("imagebert"),
    "vilbert": architecture("vilbert"),
    "vlbert with a match head": {**architecture("vlbert"), "match_head": "cls"},
    "words see image, fused": {"stages": stages("joint", "text", "image"), "words_see_image": True},
    "joint alone, fused": {"stages": stages("joint")},
    "text before and after": {"stages": stages("text", "joint", "text")},
    "one joint layer": {"stages": [{**stages("joint")[0], "layers": 1}], "match_head": "cls"},
    "image layers nobody reads": {"stages": stages("joint", "image"), "match_head": "cls"},
    "cross, then cls": {"stages": stages("image", "cross"), "match_head": "cls"},
    "pooled as in BERT, normed as words are": {
        "stages": stages("joint"),
        "global_token": "none",
        "visual_place": True,
        "match_head": "pooled",
        "image_norm": "text",
    },
    "normed in parts": {"stages": stages("joint"), "image_norm": "parts", "match_head": "pooled"},
    "one cross layer": {"stages": [{**stages("cross")[0], "layers": 1}]},
    "never met": {"stages": stages("text", "image")},
    "no global token": {"stages": stages("joint", "text", "image"), "global_token": "none"},
}


def model_of(name: str, dtype=torch.float32) -> InterBertForPreTraining:
    return InterBertForPreTraining.from_seed(tiny_config(**SHAPES[name]), 3).to(dtype).eval()


def parts() -> Batch:
    """Three images and four captions, which are no pairs: the first image stands beside the first caption."""
    return make_batch([*TEXT], [*REGIONS, 0], mask=False)


def pairs_of(parts: Batch) -> Batch:
    """The chosen pairs, one after another."""
    batch = make_batch([*TEXT[CAPTIONS_P]], [*REGIONS[IMAGES_P]], mask=False)
    ids = parts.input_ids_T.split(TEXT.tolist())
    batch.input_ids_T = torch.cat([ids[c] for c in CAPTIONS_P])
    for field in ("features_RD", "boxes_R5"):
        rows = getattr(parts, field).split([*REGIONS.tolist(), 0])
        setattr(batch, field, torch.cat([rows[i] for i in IMAGES_P]))
    assert torch.equal(batch.cu_regions, offsets(REGIONS[IMAGES_P].tolist()))
    return batch


def shared_probabilities(model: InterBertForPreTraining) -> torch.Tensor:
    match, given = SharedMatch(model), parts()
    images = match.sides.images(given.features_RD, given.boxes_R5, REGIONS)
    captions = match.sides.captions(given.input_ids_T, TEXT)
    with torch.inference_mode():
        read = match.run(match.pairs(images, captions, IMAGES_P, CAPTIONS_P))
        return match_probability(model.heads["match"](*read))


@pytest.mark.parametrize("name", SHAPES)
def test_every_architecture_as_the_packed_forward_and_the_padded_twin(name):
    model, batch = model_of(name), pairs_of(parts())
    with torch.inference_mode():
        packed = model.forward_packed(batch, {"match"}).match_probability_P
        padded = forward_padded(model, batch, 9, 8).match_probability_P
    found = shared_probabilities(model)
    assert packed.std() > 1e-3
    torch.testing.assert_close(found, packed, rtol=0, atol=1e-5)
    torch.testing.assert_close(found, padded, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["interbert", "imagebert", "vilbert", "one cross layer"])
def test_adapters_that_are_not_merged_count(name):
    plain, batch = model_of(name), pairs_of(parts())
    settings = TrainSettings(lora=LoraSettings(rank=4))
    read = plain.state_dict().__getitem__
    model = fill(*with_adapters(InterBertForPreTraining.empty(plain.config), read, settings)).eval()
    torch.manual_seed(1)
    with torch.inference_mode():
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.2)
        packed = model.forward_packed(batch, {"match"}).match_probability_P
    assert (packed - shared_probabilities(plain)).abs().max() > 1e-3
    torch.testing.assert_close(shared_probabilities(model), packed, rtol=0, atol=1e-5)
    for module in model.modules():
        if hasattr(module, "get_delta_weight"):
            module.merge()
    torch.testing.assert_close(shared_probabilities(model), packed, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["interbert", "imagebert", "vilbert"])
def test_bf16_stays_beside_fp32(name):
    exact, rough = shared_probabilities(model_of(name)), shared_probabilities(model_of(name, torch.bfloat16))
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05)


def test_what_is_computed_for_all_pairs():
    """Of InterBERT all layers but the last of each stream, of VL-BERT's words everything."""

    def steps(name: str) -> list[tuple[str, str, str]]:
        return [(step.kind, step.text, step.image) for step in SharedMatch(model_of(name)).steps]

    joint = ("joint", "all", "all")
    assert steps("interbert") == [
        *[joint] * 2,
        ("text", "all", "none"),
        ("text", "first", "none"),
        ("image", "none", "all"),
        ("image", "none", "first"),
    ]
    assert steps("imagebert") == [joint, ("joint", "first", "none")]
    assert steps("image layers nobody reads") == [joint, ("joint", "first", "none")]
    assert steps("text before and after") == [joint, ("joint", "all", "first"), *steps("interbert")[2:4]]
    assert steps("never met") == []
    assert steps("vilbert")[0] == ("cross", "all", "all")
    assert steps("one cross layer") == [("cross", "first", "first")]
