"""Several stores as one data set: numbers run on, reads land where they should, misfits are refused."""

import os
import shutil
import threading

import h5py
import numpy as np
import pytest
from small_store import CLASSES, WIDTH, edit, rewrite, write_small

from interbert.corpus import index
from interbert.corpus.corpus import Corpus
from interbert.store.store import StoreError


@pytest.fixture(autouse=True, params=["in memory", "in a file"])
def where_the_index_is(request, monkeypatch):
    if request.param == "in a file":
        monkeypatch.setattr(index, "LARGE", 0)


@pytest.fixture
def folder(tmp_path):
    for number, images in enumerate((12, 1, 7)):
        write_small(tmp_path / "data" / f"shard-{number}.h5", images, seed=number, prefix=f"s{number}")
    return tmp_path / "data"


def plainly(corpus, image, dataset):
    """An image's rows through h5py alone."""
    for path in corpus.paths:
        with h5py.File(path) as file:
            ids = [name.decode() for name in file["image_ids"][:]]
            if corpus.image_id(image) in ids:
                local = ids.index(corpus.image_id(image))
                start, stop = file["offsets"][local : local + 2]
                return file[dataset][start:stop]
    raise AssertionError


def test_numbers_run_on_over_all_stores(folder):
    with Corpus([folder]) as corpus:
        assert (corpus.images, corpus.captions, corpus.swapped) == (20, 12 + 0 + 6, 8 + 0 + 4)
        assert (corpus.feature_width, corpus.classes, corpus.evidence) == (WIDTH, CLASSES, "class_probs")
        assert [corpus.image_id(i) for i in (0, 11, 12, 13, 19)] == ["s0-0", "s0-11", "s1-0", "s2-0", "s2-6"]
        assert corpus.region_counts.dtype == np.int32 and corpus.sizes.shape == (20, 2)
        texts = list(corpus.texts())
        assert texts == [corpus.caption_text(i) for i in range(18 + 12)]
        for number, text in enumerate(texts):
            image = corpus.image_id(int(corpus.caption_image[number])).replace("-", " ")
            assert f"of {image}" in text
            assert text.startswith("swapped") == (number >= corpus.captions)
        for number, caption in enumerate(corpus.swapped_of):
            assert corpus.caption_image[18 + number] == corpus.caption_image[caption]
        assert corpus.caption_kind.tolist() == [int(text.startswith("caption 1")) for text in texts[:18]]
        for wrong in (-1, 30):
            with pytest.raises(IndexError):
                corpus.caption_text(wrong)


def test_order_of_paths_is_the_order_of_numbers(folder):
    with Corpus([folder / "shard-2.h5", folder / "shard-0.h5"]) as corpus:
        assert corpus.image_id(0) == "s2-0" and corpus.image_id(7) == "s0-0"
        fingerprint = corpus.fingerprint
    with Corpus([folder / "shard-0.h5", folder / "shard-2.h5"]) as corpus:
        assert corpus.fingerprint != fingerprint


@pytest.mark.parametrize("images", [[3], list(range(20)), [5, 5, 4, 3], [19, 0, 12, 13, 11, 10], []])
@pytest.mark.parametrize("most", [2, 99])
def test_reads_land_packed_in_order(folder, images, most):
    with Corpus([folder]) as corpus:
        images = np.array(images, np.int64)
        keep = np.minimum(corpus.region_counts[images], most)
        total = int(keep.sum())
        features = np.full((total + 4, WIDTH), 7, np.float16)
        boxes = np.full((total + 4, 4), 7, np.float32)
        corpus.read(images, keep, features, boxes)
        for name, found in (("features", features), ("boxes", boxes)):
            wanted = [plainly(corpus, image, name)[:count] for image, count in zip(images, keep, strict=True)]
            np.testing.assert_array_equal(found[:total], np.concatenate(wanted) if wanted else found[:0])
            assert (found[total:] == 7).all(), "rows beyond the request were touched"
        both = corpus.read(images, keep)
        np.testing.assert_array_equal(both[0], features[:total])
        np.testing.assert_array_equal(both[1], boxes[:total])
        assert corpus.read(images, keep, boxes_R4=boxes)[0] is None


def test_many_threads_read_the_same(folder):
    with Corpus([folder]) as corpus:
        rng = np.random.default_rng(0)
        requests = [rng.integers(0, 20, 50) for _ in range(40)]
        alone = [corpus.read(images, corpus.region_counts[images]) for images in requests]
        wrong = []

        def work(first):
            for number in range(first, 40, 4):
                images = requests[number]
                found = corpus.read(images, corpus.region_counts[images])
                if not all(map(np.array_equal, found, alone[number])):
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_evidence_of_single_regions(folder, tmp_path):
    with Corpus([folder]) as corpus:
        images = np.array([13, 4, 4, 0, 19])
        rows_N = np.array([0, 4, 3, 0, 1])
        probs, labels = corpus.read_evidence(images, rows_N)
        assert labels is None
        wanted = [
            plainly(corpus, image, "class_probs")[row] for image, row in zip(images, rows_N, strict=True)
        ]
        np.testing.assert_array_equal(probs, wanted)
        with pytest.raises(IndexError):
            corpus.read_evidence([0], [1])
    with Corpus([write_small(tmp_path / "labels.h5", evidence="labels")]) as corpus:
        probs, labels = corpus.read_evidence([3, 4], [1, 2])
        assert probs is None
        np.testing.assert_array_equal(
            labels, [plainly(corpus, 3, "labels")[1], plainly(corpus, 4, "labels")[2]]
        )
    for evidence in (None, "class_head"):
        with Corpus([write_small(tmp_path / f"{evidence}.h5", evidence=evidence)]) as corpus:
            assert corpus.read_evidence([3], [1]) == (None, None)
            assert (corpus.class_head is None) == (evidence is None)


def test_requests_that_cannot_be(folder):
    with Corpus([folder]) as corpus:
        for images, keep in (([20], [1]), ([-1], [1]), ([0], [2]), ([0], [-1])):
            with pytest.raises(IndexError):
                corpus.read(images, keep)
        with pytest.raises(ValueError, match="at least"):
            corpus.read([4], [5], np.empty((4, WIDTH), np.float16))
        with pytest.raises(ValueError, match="float16"):
            corpus.read([4], [5], np.empty((5, WIDTH), np.float32))


def test_images_are_checked_on_request(folder):
    with edit(folder / "shard-2.h5") as file:
        file["features"][int(file["offsets"][5]), 2] = 9
    with Corpus([folder]) as corpus:
        corpus.check_images([0, 13, 17, 19])
        with pytest.raises(StoreError, match=r"shard-2\.h5.*'s2-5'.*checksum"):
            corpus.check_images([0, 18])


def test_stores_that_do_not_fit_together(folder, tmp_path):
    other = shutil.copy(folder / "shard-1.h5", tmp_path / "narrow.h5")
    with edit(other) as file:
        features = file["features"][:, :8]
        file.attrs["feature_width"] = 8
    rewrite(other, "features", features)
    with pytest.raises(StoreError, match=r"narrow\.h5: feature_width is 8, but .*shard-0\.h5 has 16"):
        Corpus([folder, other])
    bare = write_small(tmp_path / "bare.h5", evidence="labels")
    with pytest.raises(StoreError, match=r"bare\.h5: evidence is labels"):
        Corpus([folder, bare])


def test_stores_of_two_class_heads(tmp_path):
    paths = [write_small(tmp_path / f"{seed}.h5", seed=seed, evidence="class_head") for seed in (0, 1)]
    with pytest.raises(StoreError, match=r"1\.h5: class_head differs from that of .*0\.h5"):
        Corpus(paths)
    with Corpus([paths[0], shutil.copy(paths[0], tmp_path / "same.h5")]) as corpus:
        assert corpus.images == 24


def test_an_id_twice_in_one_collection(folder):
    shutil.copy(folder / "shard-0.h5", folder / "shard-9.h5")
    with pytest.raises(StoreError, match=r"shard-9\.h5: image id 's0-0' is in shard-0\.h5"):
        Corpus([folder])
    # Two collections may use the same ids.
    with Corpus([folder / "shard-0.h5", folder / "shard-9.h5"]) as corpus:
        assert corpus.images == 24


def test_nothing_to_read(tmp_path):
    (tmp_path / ".hidden.h5").touch()
    with pytest.raises(StoreError, match="without stores"):
        Corpus([tmp_path])
    with pytest.raises(StoreError, match="no data"):
        Corpus([])


def test_reads_from_the_disk_and_from_a_system_that_cannot_tell(folder, monkeypatch):
    """Runs that are not in the page cache come the other way: announced first, then waited for."""
    with Corpus([folder]) as corpus:
        images = np.random.default_rng(1).integers(0, 20, 60)
        wanted = corpus.read(images, corpus.region_counts[images])
        for store in corpus.stores:
            os.fsync(store.reader.fd)
            os.posix_fadvise(store.reader.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        cold = corpus.read(images, corpus.region_counts[images])
        plain = os.preadv

        def preadv(fd, buffers, offset, flags=0):
            if flags:
                raise OSError(95, "Operation not supported")
            # short reads are what a signal or a network file system may give
            return plain(fd, [buffers[0][: max(1, len(buffers[0]) // 2)]], offset)

        monkeypatch.setattr(os, "preadv", preadv)
        plainly_read = corpus.read(images, corpus.region_counts[images])
        for found in (cold, plainly_read):
            assert all(map(np.array_equal, found, wanted))
