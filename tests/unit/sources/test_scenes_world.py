"""Scenes themselves: their splits and places, and what a detector reports of them."""

import numpy as np
import pytest

from interbert.sources.scenes.detector import (
    CHUNK,
    CLASS_NAMES,
    DEFAULT_REGIONS,
    Detections,
    detect,
    features_of,
)
from interbert.sources.scenes.world import (
    NO_KIND,
    SPLITS,
    Window,
    describe,
    image_id,
    parse_image_id,
    sample_window,
    splits_of,
)


@pytest.fixture(scope="module")
def window() -> Window:
    return sample_window(1, "train", 0)


@pytest.fixture(scope="module")
def found(window) -> Detections:
    return detect(window, 3)


def rows_of(found: Detections) -> list[slice]:
    ends = np.cumsum(found.counts_N)
    return [slice(end - count, end) for end, count in zip(ends, found.counts_N, strict=True)]


def overlaps(boxes: np.ndarray) -> np.ndarray:
    """IoU of all pairs, one at a time."""
    share = np.zeros((len(boxes), len(boxes)))
    for i, (ax1, ay1, ax2, ay2) in enumerate(boxes):
        for j, (bx1, by1, bx2, by2) in enumerate(boxes):
            common = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
            both = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common
            share[i, j] = 0 if i == j else common / both
    return share


def contents(window: Window) -> set[tuple[int, ...]]:
    return set(map(tuple, np.sort(window.kinds_N6, axis=1).tolist()))


def test_splits_never_share_a_scene_whatever_the_seeds():
    drawn = ((1, 0), (1, 1), (2, 0))
    held = {
        split: set.union(*(contents(sample_window(seed, split, number)) for seed, number in drawn))
        for split in SPLITS
    }
    assert not held["train"] & held["validation"]
    assert not held["train"] & held["test"]
    assert not held["validation"] & held["test"]
    assert all(len(scenes) > 10_000 for scenes in held.values())


def test_the_split_does_not_depend_on_the_order_of_objects(window):
    shuffled = np.random.default_rng(0).permuted(window.kinds_N6, axis=1)
    assert (splits_of(shuffled) == SPLITS.index("train")).all()


def test_no_two_scenes_of_a_window_hold_the_same_objects(window):
    assert len(contents(window)) == len(window.kinds_N6)


def test_windows_are_functions_of_seed_split_and_number(window):
    again = sample_window(1, "train", 0)
    assert np.array_equal(window.kinds_N6, again.kinds_N6) and np.array_equal(
        window.boxes_N64, again.boxes_N64
    )
    for other in (sample_window(2, "train", 0), sample_window(1, "train", 1)):
        assert not np.array_equal(window.kinds_N6, other.kinds_N6)


def test_objects_stand_inside_and_hardly_overlap(window):
    seen = set()
    for row in range(500):
        scene = window.scene(row)
        assert 3 <= len(scene.kinds) <= 6
        boxes = np.array(scene.boxes)
        assert (boxes >= 0).all() and (boxes[:, 2:] <= [scene.width, scene.height]).all()
        assert overlaps(boxes).max() < 0.1
        for kind, (x1, y1, x2, y2) in zip(scene.kinds, scene.boxes, strict=True):
            longest, shortest = max(x2 - x1, y2 - y1), min(x2 - x1, y2 - y1)
            assert shortest >= 92 if describe(kind).startswith("large") else longest <= 64
            seen.add(kind)
    assert len(seen) == NO_KIND, "every kind of object occurs"


def test_image_ids_name_their_scene():
    assert parse_image_id(image_id(12, "validation", 345)) == (12, "validation", 345)
    with pytest.raises(ValueError, match=r"COCO_12.*they look like train-s1-0000012"):
        parse_image_id("COCO_12")


@pytest.mark.parametrize("regions", [DEFAULT_REGIONS, (10, 36), (6, 6)])
def test_regions_are_as_many_as_asked_for_and_inside(window, regions):
    found = detect(window, 0, regions)
    low, high = regions
    assert found.counts_N.min() == low and found.counts_N.max() == high
    boxes, sizes = found.boxes_R4, np.repeat(window.sizes_N2[:CHUNK], found.counts_N, axis=0)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= sizes).all() and (boxes[:, 2:] > boxes[:, :2]).all()


def test_boxes_belong_to_their_objects_and_few_objects_are_missed(window, found):
    kinds = window.kinds_N6[3 * CHUNK : 4 * CHUNK]
    missed, twice, spurious = 0, 0, 0
    for image, rows in enumerate(rows_of(found)):
        objects = found.objects_R[rows]
        real = objects[objects >= 0]
        assert (kinds[image][real] == found.kinds_R[rows][objects >= 0]).all()
        boxes = np.bincount(real, minlength=6)
        assert boxes.max() <= 3
        missed += (boxes[kinds[image] != NO_KIND] == 0).sum()
        twice += (boxes > 1).any()
        spurious += (objects < 0).sum()
        true = window.boxes_N64[3 * CHUNK + image][real]
        middle = (true[:, :2] + true[:, 2:]) / 2 - (
            found.boxes_R4[rows][objects >= 0][:, :2] + found.boxes_R4[rows][objects >= 0][:, 2:]
        ) / 2
        assert (np.abs(middle) < 60).all()
    objects = (kinds != NO_KIND).sum()
    assert 0.005 * objects < missed < 0.05 * objects
    assert twice > 0.5 * CHUNK
    assert 0.05 * len(found.kinds_R) < spurious < 0.5 * len(found.kinds_R)


def test_most_images_have_overlapping_regions_and_not_all_overlap(found):
    most = [overlaps(found.boxes_R4[rows]) > 0.4 for rows in rows_of(found)]
    assert np.mean([pairs.any() for pairs in most]) > 0.8
    assert 0.05 < np.mean([pairs.any(axis=1).mean() for pairs in most]) < 0.9


def test_class_distributions_are_soft_and_sometimes_wrong(found):
    probs = found.class_probs_RK.astype(np.float64)
    assert np.allclose(probs.sum(axis=1), 1, atol=2e-3) and (probs >= 0).all()
    real = found.kinds_R != NO_KIND
    truth = [CLASS_NAMES.index(describe(kind).split(" ", 1)[1]) for kind in found.kinds_R[real]]
    right = (probs[real].argmax(axis=1) == truth).mean()
    assert 0.8 < right < 0.97
    assert (probs[~real].argmax(axis=1) == 0).mean() > 0.9
    assert 0.4 < np.median(probs[real].max(axis=1)) < 0.9


def test_regions_come_by_falling_confidence(found):
    for rows in rows_of(found):
        assert (np.diff(found.confidence_R[rows]) <= 0).all()
    assert (found.confidence_R > 0).all() and (found.confidence_R <= 1).all()


def test_features_tell_what_is_there_through_noise(window):
    """A linear read-out learnt on one chunk names colour, shape and size on another, whatever their seeds."""
    pairs = []
    for known, chunk in ((window, 0), (sample_window(9, "test", 0), 2)):
        regions = detect(known, chunk)
        real = regions.kinds_R != NO_KIND
        words = [describe(kind).split() for kind in regions.kinds_R[real]]
        pairs.append((features_of(regions, known, chunk, 64)[real].astype(np.float64), np.array(words)))
    (learn, names), (test, truth) = pairs
    assert np.abs(learn).max() < 20
    for part in range(3):
        values = np.unique(names[:, part])
        readout = np.linalg.lstsq(learn, (names[:, part, None] == values).astype(float), rcond=None)[0]
        right = (values[(test @ readout).argmax(axis=1)] == truth[:, part]).mean()
        assert right > 0.9, (part, right)
    noise = learn[0] - learn[(names == names[0]).all(axis=1)][1:].mean(axis=0)
    assert np.std(noise) > 0.5


def test_boxes_do_not_depend_on_the_feature_width(window, found):
    again = detect(window, 3)
    features_of(again, window, 3, 32)
    assert np.array_equal(found.boxes_R4, again.boxes_R4)
    assert features_of(found, window, 3, 32).shape == (len(found.kinds_R), 32)
