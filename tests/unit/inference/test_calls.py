"""Plain calls."""

import shutil
from dataclasses import replace

import numpy as np
import peft
import pytest
import torch
from made_batches import make_batch
from transformers import AutoModelForSequenceClassification

import interbert
from interbert.batches.batch import Batch
from interbert.batches.prepare import box_shares
from interbert.inference.calls import Answer
from interbert.inference.regions import regions_of_store
from interbert.model import InterBertForPreTraining
from interbert.model.loading import load_ours
from interbert.tokenizer import load_tokenizer


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


def test_answers_are_what_the_tuned_model_says_in_training(world, corpus):
    """Of two questions about an image that comes as arrays, by the packed way that fine-tuning goes."""
    found = regions_of_store(world / "scenes.h5", [corpus.image_id(1)])
    questions = ["is the cube red", "how many balls are there"]
    told = interbert.answer(world / "tuned", questions, most=3, regions=found)
    tuned, tokenizer = load_ours(world / "tuned"), load_tokenizer(world / "tuned")
    for question, answers in zip(questions, told, strict=True):
        batch = made_pair(tokenizer.encode([question], 64)[0], found[0])
        with torch.no_grad():
            (shares,) = tuned.answer(batch).sigmoid().tolist()
        expected = dict(zip(["no", "maybe", "yes"], shares, strict=True))
        assert {one.answer: one.probability for one in answers} == pytest.approx(expected, rel=1e-4)
        told_shares = [one.probability for one in answers]
        assert told_shares == sorted(told_shares, reverse=True)


def made_pair(ids: list[int], image: interbert.ImageRegions) -> Batch:
    regions = len(image.boxes)
    shares = box_shares(image.boxes, np.array([regions]), np.array([image.size]))
    batch = make_batch([len(ids)], [regions], mask=False)
    return replace(
        batch,
        input_ids_T=torch.tensor(ids),
        token_types_T=torch.zeros(len(ids), dtype=torch.int64),
        features_RD=torch.from_numpy(image.features.astype(np.float32)),
        boxes_R5=torch.from_numpy(shares),
    )


def test_a_single_class_is_shared_out(world, corpus, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(world / "model", id2label={0: "no", 1: "yes"})
    model.save_pretrained(tmp_path)
    shutil.copytree(world / "tokenizer", tmp_path, dirs_exist_ok=True)
    image = {"image_ids": corpus.image_id(0), "data": world / "scenes.h5"}
    (answers,) = interbert.answer(tmp_path, "is it red", most=2, **image)
    assert sum(one.probability for one in answers) == pytest.approx(1)
    number = AutoModelForSequenceClassification.from_pretrained(world / "model", num_labels=1)
    number.save_pretrained(tmp_path)
    assert [type(one) for one in interbert.answer(tmp_path, ["is it red", "is it blue"], **image)] == [
        float
    ] * 2


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
