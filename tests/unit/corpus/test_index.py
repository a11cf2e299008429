"""The index of a large data set: a file that is made once, checked, and mapped by whoever opens the data set."""

import os
import resource
import shutil

import numpy as np
import pytest
from small_store import edit, write_small

from interbert.corpus import cache, index
from interbert.corpus.corpus import Corpus
from interbert.store import shards
from interbert.store.store import StoreError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    for number, images in enumerate((12, 1, 7)):
        write_small(tmp_path / "data" / f"shard-{number}.h5", images, seed=number, prefix=f"s{number}")
    return tmp_path / "data"


@pytest.fixture
def as_file(monkeypatch):
    monkeypatch.setattr(index, "LARGE", 0)


def arrays(corpus):
    return {name: np.array(getattr(corpus._index, name)) for name in index._TYPES}


def files(folder):
    return sorted(path for path in (folder / cache.FOLDER).glob("index-*.bin"))


@pytest.mark.parametrize("paths", [["."], ["shard-2.h5", "shard-0.h5"], [".", "shard-0.h5"]])
def test_in_a_file_it_is_the_same_as_in_memory(folder, monkeypatch, paths):
    paths = [folder / path for path in paths]
    with Corpus(paths) as corpus:
        plain, prints = arrays(corpus), (corpus.fingerprint, corpus.earlier_fingerprint)
        assert not files(folder)
    monkeypatch.setattr(index, "LARGE", 0)
    for opening in range(2):
        with Corpus(paths) as corpus:
            found = arrays(corpus)
            assert isinstance(corpus.region_counts.base.base, np.memmap), opening
            assert (corpus.fingerprint, corpus.earlier_fingerprint) == prints
        for name, values in plain.items():
            assert values.dtype == found[name].dtype and (values == found[name]).all(), name
    assert len(files(folder)) == 1


def test_stores_are_checked_once(folder, as_file, monkeypatch):
    Corpus([folder]).close()
    monkeypatch.setattr(index, "check_index", lambda store: pytest.fail("checked again"))
    Corpus([folder]).close()


def test_what_was_written_to_is_checked_anew(folder, as_file):
    with Corpus([folder]) as corpus:
        before = corpus.fingerprint
    path = folder / "shard-2.h5"
    with edit(path) as file:
        file["captions/text"][0] = ord("X")
    os.utime(path, ns=(0, 0))  # a time that was set back is told by another
    with Corpus([folder]) as corpus:
        assert corpus.fingerprint != before and corpus.caption_text(12)[0] == "X"
    with edit(path) as file:
        file["captions/image"][0] = 99
    with pytest.raises(StoreError, match=r"shard-2\.h5.*'captions/image'"):
        Corpus([folder])


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "foreign", "of others"])
def test_a_damaged_file_is_made_anew(folder, as_file, damage, tmp_path):
    with Corpus([folder]) as corpus:
        good = arrays(corpus)
    (path,) = files(folder)
    data = path.read_bytes()
    path.unlink()
    if damage == "of others":
        with Corpus([folder / "shard-0.h5"]):
            pass
        (other,) = files(folder)
        other.rename(path)
    else:
        made = {"cut": data[:-9], "changed": data[:-9] + bytes(9), "emptied": b"", "foreign": b"x\n" * 5000}
        path.write_bytes(made[damage])
    with Corpus([folder]) as corpus:
        found = arrays(corpus)
    assert all((good[name] == found[name]).all() for name in good)
    assert path.read_bytes() == data


def test_without_a_place_for_it_the_index_is_in_memory(folder, as_file, tmp_path):
    (folder / cache.FOLDER).write_text("a file in the way, as root may write anywhere")
    (tmp_path / "user-cache").write_text("another")
    with Corpus([folder]) as corpus:
        assert corpus.images == 20 and corpus.image_of("s2-6") == 19
    (folder / cache.FOLDER).unlink()


@pytest.mark.parametrize("large", [0, index.LARGE])
def test_ids_are_found_without_a_list_of_them(folder, monkeypatch, large):
    monkeypatch.setattr(index, "LARGE", large)
    with Corpus([folder, folder / "shard-2.h5"]) as corpus:
        names = list(corpus.image_ids())
        assert names == [corpus.image_id(image) for image in range(corpus.images)]
        assert [corpus.image_of(name) for name in names[:20]] == list(range(20))
        assert corpus.image_of("s2-3") == 16, "of several, the first"
        assert [corpus.image_of(name) for name in ("", "s2-33", "\ud800")] == [None] * 3


def test_two_names_of_one_hash_are_told_apart(folder, monkeypatch):
    monkeypatch.setattr("interbert.store.ids.hashes_of", lambda names: np.zeros(len(names), np.uint64))
    monkeypatch.setattr("interbert.corpus.corpus.hashes_of", lambda names: np.zeros(len(names), np.uint64))
    with Corpus([folder]) as corpus:
        assert [corpus.image_of(name) for name in corpus.image_ids()] == list(range(20))
        assert corpus.image_of("none") is None


def test_an_id_twice_in_one_collection_is_found_in_files_too(folder, as_file):
    shutil.copy(folder / "shard-0.h5", folder / "shard-9.h5")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"shard-9\.h5: image id 's0-0' is in shard-0\.h5"):
            Corpus([folder])
    assert not files(folder)


def test_more_stores_than_may_be_open(tmp_path):
    """The process' own limit is raised to what they need."""
    for number in range(30):
        write_small(tmp_path / f"{number}.h5", 1, prefix=f"{number}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, hard))
    try:
        with Corpus([tmp_path]) as corpus:
            assert corpus.images == 30
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= before + 30
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_stores_than_the_system_lets_be_open(tmp_path, monkeypatch):
    for number in range(3):
        write_small(tmp_path / f"{number}.h5", 1, prefix=f"{number}")
    monkeypatch.setattr(shards.resource, "getrlimit", lambda _: (20, 100))
    with pytest.raises(
        StoreError, match=r"3 stores need as many open files and .* a process may have 100 .*ulimit -Hn"
    ):
        Corpus([tmp_path])
