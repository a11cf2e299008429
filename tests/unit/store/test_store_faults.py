"""A structural fault is a StoreError at opening that names file, place and remedy; a bad row a ValueError."""

import h5py
import numpy as np
import pytest
from small_store import CLASSES, SIZE, WIDTH, edit, rewrite, rows, write_small

from interbert.store.store import Store, StoreError, StoreWriter


@pytest.fixture
def path(tmp_path):
    return write_small(tmp_path / "small.h5")


def refused(path, *words):
    """Opening fails, the message names the file, says these words and what to do."""
    with pytest.raises(StoreError) as error:
        Store(path)
    message = str(error.value)
    for word in (str(path), *words):
        assert word in message, message
    remedies = ("anew", "again", "update", "check the path", "write", "give", "drop", "keep", "turn it into")
    assert any(remedy in message for remedy in remedies), message


def test_missing(tmp_path):
    refused(tmp_path / "none.h5", "No such file")


def test_a_directory(tmp_path):
    refused(tmp_path, "directory")


def test_empty_file(tmp_path):
    (tmp_path / "a.h5").touch()
    refused(tmp_path / "a.h5", "empty", "0 bytes")


@pytest.mark.parametrize("kept", [3, 8, 40, 2000, -1])
def test_truncated(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[:kept])
    refused(path, "truncated")


def test_foreign_file(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"PK\x03\x04 a zip archive, say")
    refused(path, "not an HDF5 file", "PK")


def test_foreign_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image_bb"] = np.zeros(3)
    refused(tmp_path / "a.h5", "no store", "schema", "image_bb")


def test_another_schema(path):
    with edit(path) as file:
        file.attrs["schema"] = "somebody-elses"
    refused(path, "somebody-elses")


def test_future_version(path):
    with edit(path) as file:
        file.attrs["version"] = 2
    refused(path, "version 2", "update interbert")


@pytest.mark.parametrize("name", ["version", "feature_width", "classes"])
def test_attribute_missing(path, name):
    with edit(path) as file:
        del file.attrs[name]
    refused(path, name)


def test_wrong_width(path):
    with edit(path) as file:
        file.attrs["feature_width"] = 2048
    refused(path, "'features'", f"{WIDTH} wide", "2048")


@pytest.mark.parametrize(
    "name",
    ["features", "boxes", "offsets", "sizes", "checksums", "image_ids", "captions/text", "captions/image"],
)
def test_dataset_missing(path, name):
    with edit(path) as file:
        del file[name]
    refused(path, name, "missing")


def test_wrong_type(path):
    with edit(path) as file:
        values = file["features"][:].astype("<f4")
    rewrite(path, "features", values)
    refused(path, "'features'", "float32", "float16")


def test_compressed(path):
    with edit(path) as file:
        values = file["features"][:]
    rewrite(path, "features", values, compression="gzip")
    refused(path, "'features'", "not contiguous")


def test_never_written(path):
    with edit(path) as file:
        shape = file["features"].shape
        del file["features"]
        file.create_dataset("features", shape, "<f2")
    refused(path, "'features'", "not written")


def test_rows_missing(path):
    with edit(path) as file:
        boxes = file["boxes"][:-1]
    rewrite(path, "boxes", boxes)
    refused(path, "'boxes'", "shape")


def test_ids_missing(path):
    rewrite(path, "image_ids", np.array([b"a", b"b"], h5py.string_dtype("utf-8", 1)))
    refused(path, "'image_ids'", "(2,)", "(12,)")


def test_duplicate_ids(path):
    with edit(path) as file:
        file["image_ids"][9] = b"image-4"
    refused(path, "duplicate id 'image-4'", "rows 4 and 9")


def test_no_image(path):
    rewrite(path, "offsets", np.zeros(1, "<i8"))
    with edit(path) as file:
        empty = {name: file[name][:0] for name in ("features", "boxes", "class_probs", "sizes", "checksums")}
    for name, values in empty.items():
        rewrite(path, name, values)
    refused(path, "no image")


@pytest.mark.parametrize(
    ("row", "value", "word"),
    [(0, 1, "from 1"), (12, 30, "30"), (5, 0, "image-4"), (3, 3, "'image-2' owns no region")],
)
def test_offsets_that_cannot_be(path, row, value, word):
    with edit(path) as file:
        file["offsets"][row] = value
    refused(path, "'offsets'", word)


@pytest.mark.parametrize("image", [-1, 12, 2**40])
def test_captions_for_unknown_images(path, image):
    with edit(path) as file:
        file["captions/image"][5] = image
    refused(path, "'captions/image'", "row 5", f"number {image} of 12 images", "unknown")


def test_swapped_of_unknown_captions(path):
    with edit(path) as file:
        file["swapped/caption"][2] = 99
    refused(path, "'swapped/caption'", "row 2", "number 99 of 12 captions")


def test_caption_offsets_that_cannot_be(path):
    with edit(path) as file:
        file["captions/offsets"][12] += 5
    refused(path, "'captions/offsets'")


def test_two_kinds_of_evidence(path):
    with edit(path) as file:
        file["labels"] = np.zeros(len(file["features"]), "<i4")
        file["confidence"] = np.zeros(len(file["features"]), "<f4")
    refused(path, "second kind", "class_probs")


def test_evidence_without_classes(path):
    with edit(path) as file:
        file.attrs["classes"] = 0
    refused(path, "class_probs", "'classes' is 0")


def test_a_dataset_that_is_a_link_to_another_file(tmp_path, path):
    other = write_small(tmp_path / "other.h5")
    with edit(path) as file:
        del file["features"]
        file["features"] = h5py.ExternalLink(str(other), "features")
    refused(path, "'features'", "within this file")


def given(**changes):
    image = rows(np.random.default_rng(0), 3)
    for name, (place, value) in changes.items():
        image[name][place] = value
    return image


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (given(features_ND=((1, 7), np.nan)), ("features", "region 1", "feature 7 is nan")),
        (given(boxes_N4=(2, (1, 1, 65, 9))), ("boxes", "region 2", "outside", "64 x 48")),
        (given(boxes_N4=(0, (-3, 1, 5, 9))), ("boxes", "region 0", "outside")),
        (given(boxes_N4=(0, (9, 1, 5, 9))), ("boxes", "region 0", "before it begins")),
        (given(boxes_N4=(1, (np.nan, 1, 5, 9))), ("boxes", "region 1", "not finite")),
        (given(class_probs_NK=(2, (0.9, 0.9, 0, 0, 0))), ("class_probs", "region 2", "sum to 1.8")),
        (given() | {"features_ND": np.ones((3, 99))}, ("features", "(3, 99)", f"(3, {WIDTH})")),
        (given() | {"features_ND": np.full((3, WIDTH), 1e6)}, ("features", "region 0", "inf")),
        (given() | {"class_probs_NK": None}, ("give class_probs",)),
        (given() | {"labels_N": np.zeros(3)}, ("do not give labels",)),
        (rows(np.random.default_rng(0), 0), ("no region",)),
    ],
)
def test_writing_refuses_bad_images_and_goes_on(tmp_path, image, words):
    path = tmp_path / "a.h5"
    with StoreWriter(path, WIDTH, classes=CLASSES, evidence="class_probs") as store:
        store.add_image("good", *SIZE, **given())
        with pytest.raises(ValueError) as error:
            store.add_image("bad one", *SIZE, **image)
        for word in (str(path), "bad one", *words):
            assert word in str(error.value), error.value
        store.add_image("bad one", *SIZE, **given())
    with Store(path) as store:
        assert (store.images, store.regions) == (2, 6)


def test_writing_names_the_right_image_of_many(tmp_path):
    boxes, features = np.tile(np.float32([0, 0, 1, 1]), (6, 1)), np.ones((6, WIDTH))
    boxes[4, 2] = 1.5
    with StoreWriter(tmp_path / "a.h5", WIDTH) as store:
        with pytest.raises(ValueError, match=r"image 'c', region 1.*outside 0\.\.1.*unknown"):
            store.add_images(["a", "b", "c"], [(0, 0)] * 3, [1, 2, 3], boxes, features)
        assert store.images == 0
        boxes[4, 2] = 1
        store.add_images(["a", "b", "c"], [(0, 0)] * 3, [1, 2, 3], boxes, features)


@pytest.mark.parametrize("image_id", ["", "x" * 256, "a\0b", "\ud800", "good"])
def test_writing_refuses_bad_ids(tmp_path, image_id):
    with StoreWriter(tmp_path / "a.h5", WIDTH, classes=CLASSES, evidence="class_probs") as store:
        store.add_image("good", *SIZE, **given())
        with pytest.raises(ValueError, match=r"a\.h5.*id"):
            store.add_image(image_id, *SIZE, **given())


@pytest.mark.parametrize("size", [(-1, 5), (0, 5)])
def test_writing_refuses_bad_sizes(tmp_path, size):
    with StoreWriter(tmp_path / "a.h5", WIDTH, classes=CLASSES, evidence="class_probs") as store:
        store.add_image("good", *SIZE, **given())
        with pytest.raises(ValueError, match=r"'bad'.*size"):
            store.add_image("bad", *size, **given())


def test_writing_refuses_bad_captions(tmp_path):
    with StoreWriter(tmp_path / "a.h5", WIDTH, classes=CLASSES, evidence="class_probs") as store:
        image = store.add_image("good", *SIZE, **given())
        for texts, word in ((["  "], "empty"), (["\ud800"], "Unicode")):
            with pytest.raises(ValueError, match=word):
                store.add_captions(image, texts)
        with pytest.raises(ValueError, match="image 7"):
            store.add_captions(7, ["a"])
        with pytest.raises(ValueError, match="caption 0"):
            store.add_swapped(0, "a")
        with pytest.raises(ValueError, match="kind"):
            store.add_captions(image, ["a"], kinds=[2])
        assert store.captions == 0


def test_writing_refuses_labels_out_of_range(tmp_path):
    with StoreWriter(tmp_path / "a.h5", WIDTH, classes=CLASSES, evidence="labels") as store:
        image = rows(np.random.default_rng(0), 2, "labels")
        store.add_image("good", *SIZE, **image)
        image["labels_N"][1] = CLASSES
        with pytest.raises(ValueError, match=r"'bad', region 1: label 5 of 5"):
            store.add_image("bad", *SIZE, **image)


def test_a_class_head_must_fit(tmp_path):
    store = StoreWriter(tmp_path / "a.h5", WIDTH, classes=CLASSES, evidence="class_head")
    with pytest.raises(ValueError, match="set_class_head was not called"), store:
        store.add_image("good", *SIZE, **rows(np.random.default_rng(0), 2, None))
        with pytest.raises(ValueError, match=r"\(5, 16\)"):
            store.set_class_head(np.ones((4, WIDTH)), np.ones(4))
    assert list(tmp_path.iterdir()) == []
