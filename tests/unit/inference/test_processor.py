"""From texts and images to what the model takes, exactly as training has it."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from interbert.inference.processor import InterBertProcessor
from interbert.inference.regions import ImageRegions, regions_of_images, regions_of_store
from interbert.model.loading import load_ours
from interbert.store.features_of import OtherFeatures
from interbert.tokenizer import load_tokenizer, train_wordpiece
from tests.unit.sources.test_extract import detr


@pytest.fixture
def processor(world) -> InterBertProcessor:
    return AutoProcessor.from_pretrained(world / "model")


def of_store(world, corpus, *numbers: int) -> dict:
    return {"image_ids": [corpus.image_id(n) for n in numbers], "data": world / "scenes.h5"}


def test_a_directory_of_a_model_has_one(processor, world, tmp_path):
    assert isinstance(processor, InterBertProcessor)
    assert (processor.feature_width, processor.max_text_tokens, processor.max_regions) == (16, 64, None)
    processor.save_pretrained(tmp_path / "alone")
    again = AutoProcessor.from_pretrained(tmp_path / "alone")
    assert again.to_dict() == processor.to_dict()
    assert again("a red cube")["input_ids"].equal(processor("a red cube")["input_ids"])


def test_a_published_model_without_one_has_what_its_configuration_says(processor, world, tmp_path):
    """As a hub's cache has a model whose directory was uploaded as it is."""
    there = tmp_path / "models--me--mine"
    shutil.copytree(world / "model", there / "snapshots" / "1234")
    (there / "refs").mkdir()
    (there / "refs" / "main").write_text("1234")
    found = AutoProcessor.from_pretrained("me/mine", cache_dir=tmp_path)
    assert found.to_dict() == processor.to_dict() and found.feature_width == 16


def test_what_a_model_was_tuned_on_cuts_it(processor, world, corpus, tmp_path):
    load_ours(world / "model").save_pretrained(tmp_path)
    load_tokenizer(world / "model").save(tmp_path)
    (tmp_path / "tuned_on.json").write_text(json.dumps({"max_text_tokens": 6, "max_regions": 3}))
    tuned = AutoProcessor.from_pretrained(tmp_path)
    inputs = tuned(corpus.caption_text(0), **of_store(world, corpus, 0))
    assert inputs["input_ids"].shape == (1, 6) and inputs["region_features"].shape[1] == 3
    whole = processor(corpus.caption_text(0), **of_store(world, corpus, 0))
    assert inputs["region_features"].equal(whole["region_features"][:, :3])


def test_texts_are_encoded_as_training_does(processor, world):
    tokenizer = load_tokenizer(world / "model")
    texts = [("a red cube", "two of them are small"), ("a [MASK] cube",), ("a " * 90,)]
    rows, firsts = tokenizer.encode_segments(texts, 64)
    inputs = processor([*texts[:1], *(one for (one,) in texts[1:])])
    for row, first, ids, types, mask in zip(
        rows, firsts, inputs["input_ids"], inputs["token_type_ids"], inputs["attention_mask"], strict=True
    ):
        assert ids[mask.bool()].tolist() == row and not ids[~mask.bool()].any()
        assert types.sum() == len(row) - first and types[: len(row)].tolist() == [
            int(place >= first) for place in range(len(row))
        ]
    assert processor("a red cube", padding="max_length", max_length=9)["input_ids"].shape == (1, 9)
    assert processor("a red cube", return_tensors="np")["input_ids"].dtype == np.int64


def test_regions_of_arrays_are_those_of_the_store(processor, world, corpus):
    from_store = processor("a cube", **of_store(world, corpus, 1, 4))
    found = regions_of_store(world / "scenes.h5", [corpus.image_id(n) for n in (1, 4)])
    as_arrays = [
        ImageRegions(one.features.astype(np.float64), one.boxes.tolist(), one.size, None) for one in found
    ]
    from_arrays = processor("a cube", regions=as_arrays)
    assert from_store["add_global"] is True
    for name in ("region_features", "region_boxes", "region_mask"):
        assert torch.equal(from_store[name], from_arrays[name])
    assert from_store["region_mask"].sum(1).tolist() == [len(one.boxes) for one in found]
    width, height = found[0].size
    assert from_store["region_boxes"][0, 0, 0] == pytest.approx(found[0].boxes[0, 0] / width)
    assert from_store["region_boxes"][0, 0, 3] == pytest.approx(found[0].boxes[0, 3] / height)


def test_regions_of_an_image_through_a_detector(tmp_path, processor):
    folder = detr(tmp_path / "detector")
    processor.feature_width = None
    Image.effect_noise((90, 60), 60).convert("RGB").save(tmp_path / "cat.png")
    from_file = processor("a cat", images=str(tmp_path / "cat.png"), detector=str(folder))
    with Image.open(tmp_path / "cat.png") as image:
        from_pixels = processor("a cat", images=image, detector=str(folder))
        from_array = processor("a cat", images=np.asarray(image), detector=str(folder))
    for other in (from_pixels, from_array):
        torch.testing.assert_close(from_file["region_features"], other["region_features"])
    (regions,) = regions_of_images([tmp_path / "cat.png"], str(folder))
    assert regions.size == (90, 60) and regions.features_of.startswith("detector@")
    processor.features_of = "another@1234"
    with pytest.raises(OtherFeatures, match="the model was trained on features of another@1234"):
        processor("a cat", regions=regions)


def test_one_is_for_all(processor, world, corpus):
    inputs = processor(["a cube", "a red cube", "two cubes"], **of_store(world, corpus, 2))
    assert inputs["region_features"].shape[0] == inputs["input_ids"].shape[0] == 3
    inputs = processor("a cube", **of_store(world, corpus, 2, 3))
    assert inputs["input_ids"].shape[0] == 2
    assert "region_features" not in processor("a cube") and "add_global" not in processor("a cube")
    assert "input_ids" not in processor(**of_store(world, corpus, 2))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give text, regions of images, or both"),
        ({"images": "cat.jpg"}, "images come with a detector"),
        ({"image_ids": "7", "regions": ImageRegions(np.ones((1, 16)), np.ones((1, 4)))}, "give one"),
        (
            {"text": ["a", "b"], "regions": [ImageRegions(np.ones((1, 16)), np.ones((1, 4)))] * 3},
            "2 texts and 3",
        ),
        ({"regions": ImageRegions(np.ones((1, 9)), np.ones((1, 4)))}, "9 wide, the model takes 16"),
        ({"regions": ImageRegions(np.ones((2, 16)), np.ones((1, 4)))}, "boxes .regions, 4."),
        ({"regions": (np.ones((1, 16)), np.ones((1, 4)))}, "are interbert.ImageRegions.*not a ndarray"),
        (
            {"regions": ImageRegions(np.ones((1, 16)), np.full((1, 4), 30))},
            "region 0 of an image: box .30, .* lies outside 0..1: the image's size is unknown",
        ),
        ({"regions": ImageRegions(np.full((1, 16), np.nan), np.ones((1, 4)))}, "feature 0 is nan"),
        (
            {"regions": ImageRegions(np.ones((1, 16)), np.array([[0, 0, 99, 9]]), (9, 9))},
            "outside its image of 9 x 9",
        ),
        ({"regions": ImageRegions(np.full((1, 16), 1e6), np.ones((1, 4)))}, "beyond ±65504"),
        ({"text": ["a", "a red cube"], "padding": False}, "different lengths"),
    ],
)
def test_what_does_not_fit_is_refused(processor, given, words):
    with pytest.raises(ValueError, match=words):
        processor(**given)


def test_an_id_that_no_image_has(world):
    with pytest.raises(ValueError, match="no image with id"):
        regions_of_store(world / "scenes.h5", ["nothing"])


def test_other_rules_of_texts_come_through(world, tmp_path):
    """Of a tokenizer that makes letters of full width those of half."""
    load_ours(world / "model").save_pretrained(tmp_path / "model")
    train_wordpiece(["a red cube", "ａ　ｒｅｄ"] * 3, 60, tmp_path / "words", ["width"]).save(
        tmp_path / "model"
    )
    found = AutoProcessor.from_pretrained(tmp_path / "model")(["ａ ｒｅｄ ｃｕｂｅ", "a red cube"])[
        "input_ids"
    ]
    assert found[0].equal(found[1])
