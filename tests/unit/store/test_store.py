"""Writing and reading a store: what goes in comes out, by every reader, and a file is whole or not there."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import xxhash
from small_store import CLASSES, SIZE, WIDTH, edit, rows, write_small

from interbert.store.store import H5Reader, Store, StoreError, StoreWriter
from interbert.store.verify import verify


@pytest.fixture
def path(tmp_path):
    return write_small(tmp_path / "small.h5")


def test_what_goes_in_comes_out(path):
    rng = np.random.default_rng(0)
    with Store(path) as store:
        assert (store.images, store.feature_width, store.classes) == (12, WIDTH, CLASSES)
        assert (store.evidence, store.source) == ("class_probs", "test")
        assert store.image_ids == [f"image-{i}" for i in range(12)]
        assert store.sizes.tolist() == [list(SIZE)] * 12
        for i in range(12):
            start, stop = store.offsets[i], store.offsets[i + 1]
            given = rows(rng, 1 + i % 5)
            for name, argument in (("features", "features_ND"), ("boxes", "boxes_N4")):
                np.testing.assert_array_equal(store.read_rows(name, start, stop), given[argument])
            np.testing.assert_array_equal(
                store.read_rows("class_probs", start, stop), given["class_probs_NK"]
            )
        assert store.captions == 12 and store.swapped == 8
        assert store.caption_text(0) == "caption 0 of image 1 – ünïcode"
        assert list(store.texts()) == [store.caption_text(i) for i in range(12)]
        assert store.caption_image.tolist() == [1, 2, 2, 4, 5, 5, 7, 8, 8, 10, 11, 11]
        assert store.caption_kind.tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
        assert store.swapped_caption.tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
        assert store.swapped_text(3) == "swapped caption of image 5"


@pytest.mark.parametrize("evidence", [None, "class_probs", "labels", "class_head"])
def test_the_direct_reader_and_its_h5py_twin_agree(tmp_path, evidence):
    path = write_small(tmp_path / "a.h5", evidence=evidence)
    with Store(path) as store:
        assert store.evidence == evidence
        twin = H5Reader(path)
        for name, extent in store.extents.items():
            count = extent.shape[0]
            for start, stop in ((0, count), (count // 2, count), (1, 2), (count, count)):
                direct, plain = store.read_rows(name, start, stop), twin.read_rows(name, start, stop)
                assert direct.dtype == plain.dtype == extent.dtype
                np.testing.assert_array_equal(direct, plain, err_msg=name)
            # into a larger buffer that is used again
            buffers = [np.zeros((count + 3, *extent.row_shape), extent.dtype) for _ in range(2)]
            assert len(store.read_rows(name, 1, count, buffers[0])) == count - 1
            twin.read_rows(name, 1, count, buffers[1])
            np.testing.assert_array_equal(*buffers, err_msg=name)
        for reader in (store, twin):
            with pytest.raises(StoreError, match=r"a\.h5.*'boxes': rows 3:99"):
                reader.read_rows("boxes", 3, 99)
            with pytest.raises(ValueError, match="must be float32"):
                reader.read_rows("boxes", 0, 2, np.empty((2, 4), np.float64))
        twin.close()


def test_features_lie_in_the_file_as_documented(path):
    with Store(path) as store:
        extent = store.extents["features"]
        rows_RD = store.read_rows("features", 0, store.regions)
    raw = path.read_bytes()[extent.offset : extent.offset + extent.bytes]
    np.testing.assert_array_equal(np.frombuffer(raw, "<f2").reshape(-1, WIDTH), rows_RD)


def test_checksums_are_those_of_the_documentation(path):
    with h5py.File(path) as file:
        start, stop = file["offsets"][4:6]
        digest = xxhash.xxh3_64()
        for name in ("features", "boxes", "class_probs"):
            digest.update(file[name][start:stop].tobytes())
        assert file["checksums"][4] == digest.intdigest()
        a, b = file["captions/offsets"][3:5]
        assert file["captions/checksums"][3] == xxhash.xxh3_64_intdigest(file["captions/text"][a:b].tobytes())


def test_same_content_same_bytes(tmp_path):
    first, second = write_small(tmp_path / "a.h5"), write_small(tmp_path / "b.h5")
    assert first.read_bytes() == second.read_bytes()


def test_bulk_writing_equals_writing_one_by_one(tmp_path):
    rng = np.random.default_rng(3)
    images = [rows(rng, 1 + i % 4, "labels") for i in range(9)]
    head = {"feature_width": WIDTH, "classes": CLASSES, "evidence": "labels"}
    with StoreWriter(tmp_path / "one.h5", **head) as store:
        assert [store.add_image(f"{i}", *SIZE, **image) for i, image in enumerate(images)] == list(range(9))
    with StoreWriter(tmp_path / "bulk.h5", **head) as store:
        for part in (images[:4], images[4:]):
            joined = {key: np.concatenate([image[key] for image in part]) for key in part[0]}
            counts = [len(image["boxes_N4"]) for image in part]
            ids = [f"{store.images + i}" for i in range(len(part))]
            store.add_images(
                ids, [SIZE] * len(part), counts, joined["boxes_N4"], joined["features_ND"],
                labels_R=joined["labels_N"], confidence_R=joined["confidence_N"],
            )  # fmt: skip
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "bulk.h5").read_bytes()


def test_other_ids_are_another_data_set(tmp_path):
    """All else being the same: a table mined for one would give the other's images away as their own mismatches."""
    prints = set()
    for names in (("a", "b"), ("a", "c"), ("b", "a")):
        with StoreWriter(tmp_path / "store.h5", WIDTH) as writer:
            for name in names:
                boxes, features = np.array([[0, 0, 9, 9]], np.float32), np.zeros((1, WIDTH), np.float16)
                writer.add_captions(writer.add_image(name, 10, 10, boxes, features), ["a caption"])
        with Store(tmp_path / "store.h5") as store:
            prints.add(store.fingerprint)
    assert len(prints) == 3


def test_fingerprint_follows_content(tmp_path, path):
    same, other = write_small(tmp_path / "same.h5"), write_small(tmp_path / "other.h5", seed=1)
    prints = []
    for file in (path, same, other):
        with Store(file) as store:
            prints.append(store.fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_a_store_written_by_hand_with_h5py(tmp_path):
    """docs/store.md is enough to write one: ids of variable length, no optional parts, unaligned places."""
    path = tmp_path / "hand.h5"
    rng = np.random.default_rng(0)
    features, boxes = rng.normal(size=(5, 3)).astype("<f2"), np.tile(np.float32([0, 0, 0.5, 1]), (5, 1))
    offsets = np.array([0, 2, 5])
    with h5py.File(path, "w") as file:
        file.attrs.update({"schema": "interbert-store", "version": 1, "feature_width": 3, "classes": 0})
        file["image_ids"] = ["日本", "b"]
        file["sizes"] = np.zeros((2, 2), "<i4")
        file["offsets"] = offsets
        file["features"], file["boxes"] = features, boxes
        spans = list(pairwise(offsets))
        sums = [xxhash.xxh3_64_intdigest(features[a:b].tobytes() + boxes[a:b].tobytes()) for a, b in spans]
        file["checksums"] = np.array(sums, "<u8")
    assert verify(path).ok
    with Store(path) as store:
        assert store.image_ids == ["日本", "b"]
        assert (store.captions, store.evidence, list(store.texts())) == (0, None, [])
        np.testing.assert_array_equal(store.read_rows("features", 0, 5), features)


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), StoreWriter(tmp_path / "a.h5", WIDTH) as store:
        store.add_image("a", *SIZE, **rows(np.random.default_rng(0), 3, None))
        raise RuntimeError
    with pytest.raises(ValueError, match="no image was added"), StoreWriter(tmp_path / "a.h5", WIDTH):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_closing_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), StoreWriter(tmp_path / "a.h5", WIDTH) as store:
        store.add_image("a", *SIZE, **rows(np.random.default_rng(0), 3, None))
        monkeypatch.setattr(os, "pwrite", full)
        monkeypatch.setattr(os, "copy_file_range", full)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_nothing(tmp_path):
    program = (
        "import os, sys; import numpy as np; from interbert.store.store import StoreWriter\n"
        f"store = StoreWriter({str(tmp_path / 'a.h5')!r}, 8)\n"
        "store.add_image('a', 0, 0, np.tile(np.float32([0, 0, 1, 1]), (9, 1)), np.ones((9, 8)))\n"
        "os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert done.returncode == -9
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_replaced_in_one_step(path):
    with Store(path) as old:
        before = old.read_rows("features", 0, old.regions)
        write_small(path, images=3, seed=9)
        np.testing.assert_array_equal(old.read_rows("features", 0, old.regions), before)
    with Store(path) as new:
        assert new.images == 3


def test_a_file_cut_while_it_is_open_is_an_error_with_its_name(path):
    with Store(path) as store:
        os.truncate(path, store.extents["features"].offset + 10)
        with pytest.raises(StoreError, match=r"small\.h5.*cut short"):
            store.read_rows("features", 0, store.regions)


def test_an_image_is_checked_on_request(path):
    with edit(path) as file:
        file["boxes"][int(file["offsets"][7]), 0] += 1e-3
    with Store(path) as store:
        store.check_image(6)
        with pytest.raises(StoreError, match=r"small\.h5.*row 7, image 'image-7': checksum mismatch"):
            store.check_image(7)


def test_the_examples_of_the_documentation_run(tmp_path, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "store.md").read_text()
    reading, writing = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(tmp_path)
    exec(writing, {})
    assert verify(tmp_path / "cats.h5").ok
    write_small(tmp_path / "data" / "train.h5")
    scope: dict = {}
    exec(reading, scope)
    os.close(scope["handle"])
    with Store("data/train.h5") as store:
        rows_RD = store.read_rows("features", *store.offsets[7:9].tolist())
    np.testing.assert_array_equal(scope["features"], rows_RD)
