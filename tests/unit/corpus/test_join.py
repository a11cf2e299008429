import numpy as np
import pytest

from interbert.corpus.join import join_stores
from interbert.store.store import Store, StoreWriter
from interbert.store.verify import verify


def written(path, first: int, in_order: bool) -> None:
    """Three images; their captions in the order of the images or not, the second image without."""
    rng = np.random.default_rng(first)
    with StoreWriter(path, 4, features_of="ours") as store:
        for image in range(3):
            features = rng.standard_normal((2, 4)).astype(np.float16)
            store.add_image(f"image {first + image}", 0, 0, np.array([[0, 0, 1, 1]] * 2), features)
        for image in (0, 0, 2) if in_order else (2, 0, 2, 0):
            store.add_captions(image, [f"caption {store.captions} of {first + image}"], [store.captions % 2])
            store.add_swapped(store.captions - 1, f"swapped {store.captions - 1} of {first + image}")


def told(store: Store) -> set[tuple]:
    """Every caption with its image, kind and falsified versions."""
    swapped = {}
    for number, caption in enumerate(store.swapped_caption.tolist()):
        swapped.setdefault(caption, []).append(store.swapped_text(number))
    return {
        (
            store.image_id(int(store.caption_image[c])),
            store.caption_text(c),
            int(store.caption_kind[c]),
            *swapped[c],
        )
        for c in range(store.captions)
    }


@pytest.mark.parametrize("in_order", [True, False])
def test_a_joined_store_has_what_its_parts_have(in_order, tmp_path):
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for number, path in enumerate(paths):
        written(path, 10 * number, in_order)
    join_stores(paths, tmp_path / "both.h5")
    assert verify(tmp_path / "both.h5").ok
    with Store(paths[0]) as one, Store(paths[1]) as two, Store(tmp_path / "both.h5") as both:
        assert both.image_ids == one.image_ids + two.image_ids and both.features_of == "ours"
        assert told(both) == told(one) | told(two)
        assert (np.diff(both.caption_image) >= 0).all()
        for name in ("features", "boxes", "sizes"):
            apart = [store.read_rows(name, 0, store.extents[name].shape[0]) for store in (one, two)]
            together = both.read_rows(name, 0, both.extents[name].shape[0])
            np.testing.assert_array_equal(together, np.concatenate(apart))
