"""What a run that was tuned for retrieval leaves, of a random model's scores of a small world."""

import json
import shutil

import numpy as np
import pytest
from page_reader import Page
from thread_ranks import Meeting
from tuned import ONE_RANK

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.files import read_json, read_json_lines, write_sums
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.finish_retrieval import leave_note, leave_retrieval
from interbert.tasks.retrieval.evaluation import Options, evaluate_model
from interbert.tasks.retrieval.found import Found
from interbert.tasks.retrieval.pairs import PairScorer
from interbert.tasks.retrieval.ranking import image_to_text_ranks, text_to_image_ranks
from interbert.tasks.retrieval.retrieval import evaluate_retrieval


@pytest.fixture
def scores_IC(model, corpus, tokens) -> np.ndarray:
    everything = np.arange(corpus.images), np.arange(corpus.captions)
    return PairScorer(model, corpus, tokens, *everything, token_budget=400).matrix()


@pytest.mark.parametrize("ranks", [1, 3])
def test_who_is_found_is_who_scores_highest(model, corpus, tokens, scores_IC, ranks):
    def told_of(rank: Ranks) -> Found:
        told = Found(most=4)
        evaluate_retrieval(model, corpus, tokens, ranks=rank, token_budget=400, told=told)
        return told

    image_of_C = np.asarray(corpus.caption_image)[: corpus.captions]
    for told in Meeting(ranks).run(told_of):
        assert told.captions_C.tolist() == list(range(corpus.captions))
        assert told.rank_C.tolist() == text_to_image_ranks(scores_IC, image_of_C).tolist()
        assert told.rank_I.tolist() == image_to_text_ranks(scores_IC, image_of_C).tolist()
        assert np.array_equal(told.odds_C, scores_IC[image_of_C, np.arange(corpus.captions)])
        for places, odds, of in (
            (told.images_CK, told.odds_CK, scores_IC.T),
            (told.captions_IK, told.odds_IK, scores_IC),
        ):
            order = np.argsort(-of, axis=1, kind="stable")[:, :4]
            assert np.array_equal(places, order)
            assert np.array_equal(odds, np.take_along_axis(of, order, 1))


def test_vague_captions_find_nobody_and_are_not_found(model, corpus, tokens):
    told, own = Found(most=40), np.arange(0, corpus.captions, 3)
    evaluate_retrieval(model, corpus, tokens, captions=own, vague=own + 1, token_budget=400, told=told)
    assert told.captions_C.tolist() == own.tolist() and told.images_CK.shape == (len(own), 40)
    assert (np.sort(told.captions_IK[:, : len(own)]) == np.arange(len(own))).all()
    assert (told.captions_IK[:, len(own) :] == -1).all() and (told.images_CK[:, corpus.images :] == -1).all()


@pytest.fixture
def left(world, tmp_path):
    """The folder of a run, and its settings."""
    shutil.copytree(world / "model", tmp_path / "export")
    write_sums(tmp_path / "export")
    store = str(world / "scenes.h5")
    data = {"train": ["train.h5"], "validation": [store], "max_text_tokens": 9, "max_regions": 3}
    task = {"kind": "match", "sets": {"near_images": 0}}
    settings = Settings.model_validate(
        {"name": "tuned", "data": data, "task": task, "train": {"export": "best"}}
    )
    leave_note(settings, tmp_path, "step 7, the best", "of training")
    leave_retrieval(settings, tmp_path, "step 7, the best", ONE_RANK)
    return tmp_path, settings


def test_the_files_of_a_run(left, world):
    folder, settings = left
    found, lines = read_json(folder / "results.json"), read_json_lines(folder / "predictions.jsonl")
    limits = Options(max_text_tokens=9, max_regions=3)  # as it was tuned
    again = evaluate_model(folder / "export", settings.data.validation, ONE_RANK, limits)
    assert found["value"] == again["text_to_image"]["r1"] == found["figures"]["text_to_image.r1"]["value"]
    for way in ("text_to_image", "image_to_text"):
        own = [line for line in lines if line["type"] == way]
        assert np.mean([line["right"] for line in own]) == found["figures"][f"{way}.r1"]["value"]
        assert np.mean([line["rank"] <= 5 for line in own]) == found["figures"][f"{way}.r5"]["value"]
        assert len({line["id"] for line in own}) == len(own) == 12
    for figure in found["figures"].values():
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    r5 = found["figures"]["text_to_image.r5"]
    assert r5["low"] < r5["value"] < r5["high"]
    with Corpus(settings.data.validation) as corpus:
        for line in lines[:12]:
            number = int(line["id"].removeprefix("caption "))
            assert line["text"] == corpus.caption_text(number)
            assert line["label"] == corpus.image_id(int(corpus.caption_image[number]))
            assert line["prediction"] == max(line["scores"], key=line["scores"].get)
            assert len(line["scores"]) == 10 and line["right"] == (line["prediction"] == line["label"])
    assert lines[-1]["type"] == "image_to_text" and lines[-1]["label"][0].startswith("caption ")
    assert not (folder / "results.tiles").exists()


def test_the_page_shows_captions_with_the_images_that_they_find(left, corpus):
    folder, _ = left
    page = Page((folder / "results.html").read_text())
    lines = [
        line for line in read_json_lines(folder / "predictions.jsonl") if line["type"] == "text_to_image"
    ]
    assert "Surest and wrong" in page.text and "text to image, R@1" in page.text
    wrong = next(line for line in lines if not line["right"])
    assert wrong["text"] in page.text and wrong["prediction"] in page.text and wrong["label"] in page.text
    assert "of the answer" in page.text and "of the true pair" in page.text
    assert "95 %" in (folder / "export" / "README.md").read_text()


def test_what_it_was_tuned_on_is_told_of_every_result(left, world):
    folder, settings = left
    found = read_json(folder / "results.json")
    assert (found["tuned_on"], found["tuned_on_this_data"], found["chosen_on_this_data"]) == (
        "train.h5",
        False,
        True,
    )
    assert found["checkpoint"] == "step 7, the best"
    judged = evaluate_model(folder / "export", [world / "scenes.h5"], ONE_RANK, Options(max_images=3))
    assert (judged["checkpoint"], judged["tuned_on"]) == ("step 7, the best", "train.h5")
    assert judged["chosen_on_this_data"] and not judged["tuned_on_this_data"]
    with Corpus(settings.data.validation) as corpus:
        leave_note(settings, folder, "the last", corpus.fingerprint)
    judged = evaluate_model(folder / "export", [world / "scenes.h5"], ONE_RANK, Options(max_images=3))
    assert judged["tuned_on_this_data"] and json.dumps(judged)
    never = evaluate_model(world / "model", [world / "scenes.h5"], ONE_RANK, Options(max_images=3))
    assert "not noted" in never["tuned_on"] and not never["tuned_on_this_data"]
