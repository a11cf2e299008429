import numpy as np
import pytest
from made_examples import make_examples, make_outputs

from interbert.corpus.boxes import overlaps_RB
from interbert.corpus.corpus import Corpus
from interbert.store.store import StoreWriter
from interbert.tasks.results.answers import answers_of

NAN = float("nan")


def same(found, wanted) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_classes_by_their_labels():
    examples = make_examples("classify", classes="abc", labels=[2, 0, -100])
    answers = answers_of(examples, make_outputs([[0.1, 0.2, 0.7], [0.3, 0.6, 0.1], [0.8, 0.1, 0.1]]))
    assert answers.place_N.tolist() == [2, 1, 0]
    same(answers.sure_N, [0.7, 0.6, 0.8])
    same(answers.right_N, [1, 0, NAN])


def test_classes_by_weights():
    examples = make_examples("classify", classes="abc", scores=[{0: 1.0, 2: 0.3}, {1: 0.6}, {}])
    answers = answers_of(examples, make_outputs([[0.1, 0.2, 0.7], [0.9, 0.6, 0.1], [0.8, 0.1, 0.1]]))
    same(answers.right_N, [0.3, 0, 0])


def test_choices_and_what_ties_are_worth():
    examples = make_examples("choose", pairs=[4, 4, 2, 3], labels=[1, 0, -100, 0])
    rows = [[0.1, 0.7, 0.1, 0.1], [0.25] * 4, [0.4, 0.6], [0.4, 0.2, 0.4]]
    answers = answers_of(examples, make_outputs(rows))
    assert answers.place_N.tolist() == [1, 0, 1, 0]
    same(answers.right_N, [1, 0.25, NAN, 0.5])


def test_sets_of_pairs_and_pairs_alone():
    examples = make_examples(
        "match", pairs=[3, 3, 1, 2, 1, 2], is_match=[1, 0, 0, 1, 0, 0, 0, 1, 1, -100, -100, 0]
    )
    rows = [[0.9, 0.95, 0.1], [0.3, 0.2, 0.1], [0.4], [0.8, 0.2], [0.9], [0.9, 0.8]]
    answers = answers_of(examples, make_outputs(rows))
    # A set is right by its best pair; two true pairs are no set, nor is one with a pair that is not known.
    same(answers.right_N, [0, 1, 1, 0.5, NAN, 0])


@pytest.fixture
def corpus(tmp_path):
    with StoreWriter(tmp_path / "a.h5", 4) as store:
        for name in ("one", "two"):
            boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 20, 10]], np.float32)
            boxes += 5 if name == "two" else 0
            store.add_image(name, 30, 20, boxes, np.zeros((3, 4), np.float16))
    with Corpus(tmp_path / "a.h5") as corpus:
        yield corpus


def test_regions_by_how_much_they_overlap(corpus):
    examples = make_examples(
        "point",
        images=[0, 0, 1, 1, 0],
        boxes=[[[0, 0, 10, 9]], [[0, 0, 10, 10]], [[15, 5, 25, 15], [0, 0, 1, 1]], [], [[0, 0, 10, 10]]],
    )
    rows = [[0.9, 0.1, 0.2], [0.1, 0.1, 0.3], [0.1, 0.9], [0.3, 0.2, 0.1], []]
    answers = answers_of(examples, make_outputs(rows), corpus)
    assert answers.place_N.tolist() == [0, 2, 1, 0, -1]
    same(answers.overlap_N, [0.9, 0.5, 1, NAN, 0])
    same(answers.right_N, [1, 0, 1, NAN, 0])


def test_overlaps_by_counting_pixels():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 12, (9, 2, 2)), axis=1).reshape(9, 4)
    regions, boxes = corners[:6], corners[6:]
    inside = np.zeros((9, 12, 12), bool)
    for number, (x1, y1, x2, y2) in enumerate(corners):
        inside[number, y1:y2, x1:x2] = True
    for r in range(6):
        for b in range(3):
            both, either = (inside[r] & inside[6 + b]).sum(), (inside[r] | inside[6 + b]).sum()
            same(overlaps_RB(regions, boxes)[r, b], both / either if either else 0)


def test_a_value_is_neither_right_nor_wrong():
    answers = answers_of(make_examples("score", values=[1.5, NAN]), make_outputs([[1.25], [3.0]]))
    same(answers.sure_N, [1.25, 3.0])
    same(answers.right_N, [NAN, NAN])
