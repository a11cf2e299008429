"""What is chosen, by hand and against a plain double loop."""

import numpy as np
import pytest

from interbert.search.diverse import chosen, unlikeness

EAST, NORTH, WEST = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)


def test_by_hand():
    fits = np.array([0.9, 0.8, 0.5, 0.4])
    vectors = np.array([EAST, EAST, NORTH, WEST]) * [[1], [7], [2], [3]]  # lengths say nothing
    assert chosen(fits, vectors, 3, 0.0) == [0, 1, 2]
    # Behind 0: 1 is worth 0.4 - 0.5, 2 is worth 0.25 - 0, 3 is worth 0.2 + 0.5.
    assert chosen(fits, vectors, 4, 0.5) == [0, 3, 2, 1]
    # At 0.2: 1 is worth 0.64 - 0.2 = 0.44, 2 is worth 0.4, 3 is worth 0.32 + 0.2 = 0.52; then 1 before 2.
    assert chosen(fits, vectors, 4, 0.2) == [0, 3, 1, 2]
    assert chosen(fits, vectors, 9, 0.5) == [0, 3, 2, 1]
    assert chosen(fits[:0], vectors[:0], 3, 0.5) == []


def test_of_a_group_no_more_than_the_cap_and_of_no_group_any_number():
    fits, vectors = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([EAST] * 5)
    groups = ["a", "a", None, None, "b"]
    assert chosen(fits, vectors, 5, 0.0, groups, 1) == [0, 2, 3, 4]
    assert chosen(fits, vectors, 2, 0.0, groups, 1) == [0, 2]
    assert chosen(fits, vectors, 5, 0.0, groups, 2) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("diversity", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_as_a_plain_loop_has_it(diversity):
    rng = np.random.default_rng(5)
    fits, vectors = rng.random(40), rng.normal(size=(40, 8))
    groups = rng.choice(list("abcd"), 40).tolist()
    assert chosen(fits, vectors, 15, diversity, groups, 5) == plainly(fits, vectors, 15, diversity, groups, 5)


def plainly(fits, vectors, count, diversity, groups, cap):
    def cosine(a, b):
        return vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b])

    taken = []
    while len(taken) < count:
        worth = {}
        for place in set(range(len(fits))) - set(taken):
            if sum(groups[one] == groups[place] for one in taken) < cap:
                alike = max((cosine(place, one) for one in taken), default=0.0)
                worth[place] = (1 - diversity) * fits[place] - diversity * alike
        if not worth:
            break
        taken.append(max(worth, key=worth.get))
    return taken


def test_unlikeness_is_one_less_the_mean_cosine():
    assert unlikeness(np.array([EAST, NORTH])) == pytest.approx(1)
    assert unlikeness(np.array([EAST, WEST])) == pytest.approx(2)
    assert unlikeness(np.array([EAST, EAST, NORTH])) == pytest.approx(1 - 1 / 3)
    assert unlikeness(np.array([EAST])) is None
