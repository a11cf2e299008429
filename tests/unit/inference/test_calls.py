"""Plain calls."""

import shutil

import peft
import pytest
import torch

import interbert
from interbert.inference.calls import Answer
from interbert.model import InterBertForPreTraining
from interbert.model.loading import load_ours


def test_a_score_is_what_the_model_says(world, corpus):
    texts = [corpus.caption_text(0), "a blue ball"]
    found = interbert.score(world / "model", texts, image_ids=corpus.image_id(0), data=world / "scenes.h5")
    processor = interbert.inference.calls.loaded(world / "model")[1]
    inputs = processor(texts, image_ids=corpus.image_id(0), data=world / "scenes.h5")
    with torch.no_grad():
        expected = load_ours(world / "model")(**inputs).match_probability
    assert found == pytest.approx(expected.tolist(), rel=1e-4)


def test_answers(world, corpus):
    image = {"image_ids": corpus.image_id(0), "data": world / "scenes.h5"}
    ((first, second),) = interbert.answer(world / "tuned", "is it red", most=2, **image)
    assert isinstance(first, Answer) and first.probability >= second.probability
    assert {first.answer, second.answer} < {"no", "maybe", "yes"}
    (alone,) = interbert.answer(world / "tuned", "is it red", **image)
    assert alone == [first]


def test_what_a_model_cannot_do_is_said(world, corpus):
    with pytest.raises(ValueError, match="not tuned to classify or to score"):
        interbert.answer(world / "model", "is it red")
    with pytest.raises(ValueError, match="no match head"):
        interbert.score(world / "tuned", "is it red", image_ids=corpus.image_id(0), data=world / "scenes.h5")
    with pytest.raises(ValueError, match="give regions, images or image_ids"):
        interbert.score(world / "model", "is it red")
    with pytest.raises(AttributeError, match="no attribute 'guess'"):
        interbert.guess  # noqa: B018


def test_a_directory_that_was_written_anew_is_read_anew(world, corpus, tmp_path):
    shutil.copytree(world / "model", tmp_path / "model")
    image = {"image_ids": corpus.image_id(0), "data": world / "scenes.h5"}
    before = interbert.score(tmp_path / "model", "a red cube", **image)
    first = interbert.inference.calls.loaded(tmp_path / "model")[0]
    assert interbert.inference.calls.loaded(tmp_path / "model")[0] is first
    InterBertForPreTraining.from_seed(first.config, 9).save_pretrained(tmp_path / "model")
    assert interbert.score(tmp_path / "model", "a red cube", **image) != before


def test_adapters_are_called_by_their_folder(world, corpus, tmp_path):
    model = InterBertForPreTraining.from_pretrained(world / "model")
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["qkv"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    image = {"image_ids": corpus.image_id(0), "data": world / "scenes.h5"}
    found = interbert.score(tmp_path, "a red cube", **image)
    processor = interbert.inference.calls.loaded(world / "model")[1]
    with torch.no_grad():
        expected = adapted.eval()(**processor("a red cube", **image)).match_probability
    assert found == pytest.approx(expected.tolist(), rel=1e-4)
    assert found != interbert.score(world / "model", "a red cube", **image)
