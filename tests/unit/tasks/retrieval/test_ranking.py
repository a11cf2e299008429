"""Ranks and recalls against ones worked out by hand."""

import numpy as np
import pytest

from interbert.tasks.retrieval.ranking import (
    image_to_text_ranks,
    retrieval_metrics,
    summarise_ranks,
    text_to_image_ranks,
)


def test_ranks_by_hand_with_several_captions_an_image():
    # Captions 0 and 1 belong to image 0, caption 2 to image 1, caption 3 to image 2.
    image_of = np.array([0, 0, 1, 2])
    scores = np.array(
        [
            [0.9, 0.1, 0.3, 0.5],
            [0.2, 0.7, 0.8, 0.6],
            [0.1, 0.4, 0.2, 0.4],
        ],
        dtype=np.float32,
    )
    # Caption 1 has 0.1 for its image, below both others; caption 3 has 0.4, below 0.6 and 0.5.
    assert text_to_image_ranks(scores, image_of).tolist() == [1, 3, 1, 3]
    # Image 0: its best is 0.9, above all. Image 1: 0.8 is. Image 2: its 0.4 is tied with one: place 1 or 2.
    assert image_to_text_ranks(scores, image_of).tolist() == [1, 1, 1.5]
    found = retrieval_metrics(scores, image_of)
    assert found["text_to_image"] == {"r1": 0.5, "r5": 1.0, "r10": 1.0, "median_rank": 2.0, "mean_rank": 2.0}
    assert found["image_to_text"]["r1"] == pytest.approx(2 / 3)
    assert found["image_to_text"]["mean_rank"] == pytest.approx(3.5 / 3)
    assert (found["images"], found["captions"], found["images_without_captions"]) == (3, 4, 0)


def test_a_constant_scorer_gets_the_middle_rank():
    found = retrieval_metrics(np.zeros((100, 100), np.float32), np.arange(100))
    for way in ("text_to_image", "image_to_text"):
        assert found[way] == {"r1": 0.0, "r5": 0.0, "r10": 0.0, "median_rank": 50.5, "mean_rank": 50.5}


def test_a_tie_with_own_captions_costs_nothing():
    # Image 0 has three equal captions of its own; the one of image 1 is lower.
    scores = np.array([[1, 1, 1, 0], [0, 0, 0, 1]], np.float32)
    assert image_to_text_ranks(scores, np.array([0, 0, 0, 1])).tolist() == [1, 1]


def test_images_without_captions_are_candidates_but_no_queries():
    scores = np.array([[1.0], [2.0], [0.0]], np.float32)
    found = retrieval_metrics(scores, np.array([0]))
    assert found["text_to_image"]["mean_rank"] == 2
    assert found["image_to_text"]["mean_rank"] == 1
    assert (found["images"], found["captions"], found["images_without_captions"]) == (3, 1, 2)


def test_negative_infinity_is_a_score_like_any_other():
    scores = np.array([[-np.inf, 0.0], [0.0, 1.0]], np.float32)
    assert image_to_text_ranks(scores, np.array([0, 1])).tolist() == [2, 1]


def test_recall_counts_ranks_up_to_k():
    found = summarise_ranks(np.array([1, 5, 5.5, 10, 11.0]))
    assert (found["r1"], found["r5"], found["r10"]) == (0.2, 0.4, 0.8)
    assert (found["median_rank"], found["mean_rank"]) == (5.5, 6.5)


def test_against_sorting_where_nothing_is_tied():
    random = np.random.default_rng(0)
    scores, image_of = random.normal(size=(30, 70)), random.integers(0, 30, 70)
    places = np.argsort(np.argsort(-scores, axis=0), axis=0) + 1
    assert (text_to_image_ranks(scores, image_of) == places[image_of, np.arange(70)]).all()
    ranked = np.argsort(-scores, axis=1)
    first = [1 + int(np.argmax(image_of[ranked[i]] == i)) for i in range(30) if (image_of == i).any()]
    assert image_to_text_ranks(scores, image_of).tolist() == first
