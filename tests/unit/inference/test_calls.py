"""Plain calls."""

import pytest
import torch

import interbert
from interbert.inference.calls import Answer
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
