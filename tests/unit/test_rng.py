import numpy as np

from interbert.rng import Purpose, generator, torch_seed


def test_a_draw_is_a_function_of_its_place():
    one = generator(7, Purpose.ORDER, 3, 5).random(100)
    assert np.array_equal(one, generator(7, Purpose.ORDER, 3, 5).random(100))
    others = [
        (8, Purpose.ORDER, 3, 5),
        (7, Purpose.MASK_TEXT, 3, 5),
        (7, Purpose.ORDER, 5, 3),
        (7, Purpose.ORDER, 3),
    ]
    for other in others:
        assert not np.intersect1d(one, generator(*other).random(100)).size


def test_torch_seeds_differ_and_fit():
    seeds = {torch_seed(1, Purpose.DROPOUT, step, number) for step in range(50) for number in range(20)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_known_values():
    """A changed draw would silently change every run that is resumed."""
    assert generator(42, Purpose.ORDER, 1).integers(0, 1000, 5).tolist() == [949, 800, 619, 613, 869]
