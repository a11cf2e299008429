"""Shortlists: who is on them, what they cost, and vectors that do not fit."""

import h5py
import numpy as np
import pytest

from interbert.tasks.retrieval.shortlist import ShortlistError, make_shortlist, read_vectors

PARTS = [(np.arange(3), np.arange(6))]
IMAGES = np.eye(3)
CAPTIONS = np.array([[1, 0, 0], [3, 1, 0], [0, 2, 0], [0, 2, 1], [0, 0, 4], [9, 0, 8.0]])


def on_the_list(shortlist) -> list[tuple[int, int]]:
    mask = shortlist.among(np.arange(3), np.arange(6))
    return [(int(i), int(c)) for i, c in np.argwhere(mask)]


def test_a_pair_is_on_it_if_either_is_near_the_other():
    shortlist = make_shortlist(IMAGES, CAPTIONS, 1, PARTS)
    # Each caption's nearest image; image 1 has captions 2 and 3 alike, of which the first is its nearest.
    assert on_the_list(shortlist) == [(0, 0), (0, 1), (0, 5), (1, 2), (1, 3), (2, 4), (2, 5)]
    assert shortlist.density == 7 / 18
    two = shortlist.among(np.array([2, 0]), np.array([5, 1, 4]))
    assert two.tolist() == [[True, False, True], [True, True, False]]
    figures = shortlist.figures(np.array([0, 0, 1, 2, 2, 1]), np.array([True] * 4 + [False, True]))
    assert figures == {
        "nearest": 1,
        "pairs": 7,
        "share_of_pairs": 7 / 18,
        "true_pairs_inside": 3 / 5,
        "images_with_a_true_caption_inside": 2 / 3,
    }


def test_parts_do_not_meet():
    parts = [(np.array([0]), np.array([2, 5])), (np.array([1, 2]), np.array([0, 1, 3, 4]))]
    assert on_the_list(make_shortlist(IMAGES, CAPTIONS, 1, parts)) == [
        (0, 2),
        (0, 5),
        (1, 0),
        (1, 1),
        (1, 3),
        (2, 4),
    ]


def test_vectors_from_either_kind_of_file(corpus, tmp_path):
    random = np.random.default_rng(0)
    arrays = {
        "images": random.normal(size=(corpus.images, 3)),
        "captions": random.normal(size=(corpus.captions, 3)),
    }
    np.savez(tmp_path / "v.npz", **arrays)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    for name in ("v.npz", "v.h5"):
        images, captions = read_vectors(tmp_path / name, corpus)
        np.testing.assert_array_equal(images, arrays["images"].astype(np.float32))
        np.testing.assert_array_equal(captions, arrays["captions"].astype(np.float32))

    def refuses(match: str, **other) -> None:
        np.savez(tmp_path / "bad.npz", **{k: v for k, v in {**arrays, **other}.items() if v is not None})
        with pytest.raises(ShortlistError, match=match):
            read_vectors(tmp_path / "bad.npz", corpus)

    refuses("no array 'captions'", captions=None)
    refuses(r"images has the shape \[11, 3\], the data has 12 images", images=arrays["images"][1:])
    refuses("no numbers", images=arrays["images"] * np.nan)
    refuses("3 wide, of captions 2", captions=arrays["captions"][:, :2])
    (tmp_path / "text.h5").write_text("no vectors")
    with pytest.raises(ShortlistError, match="neither"):
        read_vectors(tmp_path / "text.h5", corpus)
    with pytest.raises(ShortlistError, match="not there"):
        read_vectors(tmp_path / "none.npz", corpus)
