"""Pictures: what should be coloured is, and odd input draws instead of failing."""

import numpy as np
import pytest
from PIL import Image

from interbert.show.drawing import attention_picture, draw_regions, grid, histogram, region_colour


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def near(image: Image.Image, colour, tolerance: int = 40) -> np.ndarray:
    """Where the picture has about this colour."""
    return (abs(pixels(image) - np.array(colour)) < tolerance).all(axis=-1)


def test_frames_are_where_the_boxes_are():
    boxes = np.array([[20, 30, 80, 90], [120, 20, 180, 160]])
    image, empty = draw_regions(200, 200, boxes), draw_regions(200, 200, np.zeros((0, 4)))
    assert image.size == empty.size == (420, 420)
    scale = 420 / 200
    for index, (x1, y1, x2, y2) in enumerate(boxes * scale):
        found = near(image, region_colour(index))
        rows, columns = np.nonzero(found)
        assert (
            abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - [x1, y1, x2, y2]).max()
            <= 3
        )
        assert found[round((y1 + y2) / 2), round(x1) : round(x1) + 3].any(), "left edge"
        assert not found[round((y1 + y2) / 2), round((x1 + x2) / 2)], "the middle is only tinted"
    between = (slice(None), slice(round(90 * scale), round(110 * scale)))
    assert (pixels(image)[between] == pixels(empty)[between]).all(), "nothing is drawn between the boxes"


def test_unknown_sizes_mean_shares():
    known = draw_regions(200, 200, np.array([[20, 30, 80, 90]]))
    shares = draw_regions(0, 0, np.array([[0.1, 0.15, 0.4, 0.45]]))
    assert abs(pixels(known) - pixels(shares)).max() == 0


def test_the_background_shows_through():
    background = Image.new("RGB", (20, 20), (250, 200, 0))
    image = draw_regions(200, 100, np.array([[10, 10, 60, 60]]), background=background)
    assert image.size == (420, 210)
    assert near(image, (250, 200, 0), 5)[150:200, 300:400].all()


def test_captions_and_labels_add_ink():
    boxes = np.array([[20, 30, 80, 90], [22, 33, 82, 95]])
    plain = draw_regions(200, 200, boxes)
    labelled = draw_regions(200, 200, boxes, ["red cube", "red cube"])
    assert near(labelled, region_colour(1)).sum() > near(plain, region_colour(1)).sum() + 300
    short, long = (
        draw_regions(200, 200, boxes, caption="a cube"),
        draw_regions(200, 200, boxes, caption="a cube " * 30),
    )
    assert plain.height < short.height < long.height
    assert near(short, (33, 37, 41))[plain.height :].any()


def test_boxes_outside_or_turned_around_are_drawn_inside():
    image = draw_regions(100, 100, np.array([[80, 80, 500, 20], [-50, -50, -10, -10]]), ["far", ""])
    assert near(image, region_colour(0)).any()


@pytest.mark.parametrize(
    "values", [[], [3], [1, 2, 2, 5], np.linspace(-1, 1, 500), [np.nan, 2.0], [10**7, 3 * 10**7]]
)
def test_histograms_of_anything(values):
    image = histogram(values, "title")
    assert image.size == (420, 220)
    finite = np.isfinite(np.asarray(values, float)).sum()
    assert near(image, region_colour(0)).any() == (finite > 0)


def test_a_histogram_shows_the_shares():
    image = histogram([1] * 10 + [2] * 5, "two bars")
    bars = near(image, region_colour(0))
    heights = bars.sum(axis=0)
    left, right = heights[60:200].max(), heights[280:400].max()
    assert right == pytest.approx(left / 2, abs=3)


def test_a_grid_holds_all_pictures():
    reds = [Image.new("RGB", (30 + 10 * i, 20), (200, 0, 0)) for i in range(5)]
    sheet = grid(reds, columns=2)
    assert near(sheet, (200, 0, 0), 5).sum() == sum(red.width * red.height for red in reds)
    assert grid([], 3).size == (1, 1)


def test_attention_is_dark_where_it_is_strong():
    scene = draw_regions(100, 100, np.array([[10, 10, 40, 40], [50, 50, 90, 90]]))
    weights = np.array([[0.0, 0.9, 0.1], [0.5, 0.0, 0.5]])
    image = attention_picture(scene, ["word", "other"], weights, ["*", "1", "2"], "title", "note")
    dark = near(image, (8, 48, 107), 20)
    dark[:, : scene.width + 20] = False
    rows, columns = np.nonzero(dark)
    cells = {
        (int(r) // 26, int(c) // 26) for r, c in zip(rows - rows.min(), columns - columns.min(), strict=True)
    }
    # Relative to its own row: one strong cell in the first row, two in the second, on either side of it.
    assert cells == {(0, 1), (1, 0), (1, 2)}


def test_attention_of_another_shape_is_refused():
    scene = draw_regions(100, 100, np.zeros((0, 4)))
    with pytest.raises(ValueError, match="2 words"):
        attention_picture(scene, ["a", "b"], np.zeros((3, 4)))
    with pytest.raises(ValueError, match="4 regions"):
        attention_picture(scene, ["a", "b"], np.zeros((2, 4)), ["1"])
    assert attention_picture(scene, [], np.zeros((0, 0))).width > 0
