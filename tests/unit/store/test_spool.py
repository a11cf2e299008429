import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from interbert.store import file
from interbert.store.known_names import KnownNames
from interbert.store.spool import Names, Spool
from interbert.store.store import Store, StoreWriter
from interbert.store.verify import verify


def test_a_name_is_known_once_it_was_added():
    known, names = KnownNames(), [f"image {number}".encode() for number in range(5000)]
    for name in names[::2]:
        known.add(name)
        known.add(name)
    assert [name in known for name in names] == [True, False] * 2500


def test_names_come_back_joined_whatever_the_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("interbert.store.spool._BLOCK", 7)
    names = Names(tmp_path)
    added = [b"a", "grüße".encode(), b"a name longer than a block", b"z" * 7, b"b"]
    names.add(added[:2])
    names.add([])
    names.add(added[2:])
    assert b"\0".join(names.joined()).split(b"\0") == added
    assert (names.count, names.widest) == (5, 26) and b"b" in names and b"c" not in names
    names.close()


def test_a_spool_has_all_that_was_added(tmp_path):
    spool = Spool(tmp_path, "<i8")
    spool.add([1, 2])
    spool.add(np.array([[3], [4]]))
    spool.add([])
    assert np.frombuffer(b"".join(spool.blocks()), "<i8").tolist() == [1, 2, 3, 4] and len(spool) == 4
    assert not list(tmp_path.iterdir())
    spool.close()


@pytest.mark.parametrize("captions", [2_000, 40_000])
def test_a_writers_memory_does_not_grow_with_the_captions(captions, tmp_path):
    """What it holds beyond its buffers: some of each text's bytes would be megabytes."""
    rows = {"boxes_N4": np.array([[0, 0, 1, 1]]), "features_ND": np.zeros((1, 4), np.float32)}
    tracemalloc.start()
    try:
        with StoreWriter(tmp_path / "a.h5", 4) as store:
            image = store.add_image("a", 0, 0, **rows)
            store.add_captions(image, ["the first of all"])
            before = tracemalloc.get_traced_memory()[0]
            for number in range(captions):
                store.add_captions(image, [f"caption number {number}"])
            assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
    with Store(tmp_path / "a.h5") as store:
        assert (
            store.captions == captions + 1
            and store.caption_text(captions) == f"caption number {captions - 1}"
        )


def made_store(path: Path, images: int = 6) -> bytes:
    rng = np.random.default_rng(3)
    with StoreWriter(path, 64, classes=5, evidence="class_probs", class_names=list("abcde")) as store:
        for number in range(images):
            boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (9, 1))
            probs = rng.dirichlet(np.ones(5), 9)
            image = store.add_image(str(number), 0, 0, boxes, rng.standard_normal((9, 64)), probs)
            store.add_captions(image, [f"caption {number}"])
    return path.read_bytes()


def test_a_large_stores_features_are_written_once_where_they_stay(tmp_path, monkeypatch):
    """In their spool, which becomes the store; where the system cannot name it they are copied: the same bytes."""
    monkeypatch.setattr(file, "_LARGE", 6000)
    copied, copy = [], file._copy
    monkeypatch.setattr(file, "_copy", lambda spool, *rest: copied.append(spool.start) or copy(spool, *rest))
    whole = made_store(tmp_path / "a.h5")
    assert copied and file.ROWS_AT not in copied
    with h5py.File(tmp_path / "a.h5") as ours:
        assert ours["features"].id.get_offset() == file.ROWS_AT
    assert verify(tmp_path / "a.h5").ok
    copied.clear()
    monkeypatch.setattr(file, "name_file", lambda *_: False)
    assert made_store(tmp_path / "b.h5") == whole and file.ROWS_AT in copied
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_what_fails_while_the_spool_has_a_name_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "_LARGE", 6000)

    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(file, "_write", fail)
    with pytest.raises(OSError, match="no room"):
        made_store(tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())
