import pytest
from small_store import edit, write_small

from interbert.corpus.corpus import Corpus
from interbert.corpus.join import join_stores
from interbert.store.features_of import OtherFeatures, may_be_one, refuse_other_features
from interbert.store.store import Store, StoreError
from interbert.store.verify import verify

OURS, SAME, THEIRS = "detr@12ab", "a copy/of@it@12ab", "detr@99ff"


def store_of(path, features_of: str | None, prefix: str = "image"):
    write_small(path, 4, prefix=prefix)
    if features_of is not None:
        with edit(path) as file:
            file.attrs["features_of"] = features_of
    return path


def test_a_store_tells_whose_features_it_has(tmp_path):
    for name, features_of in (("a", OURS), ("b", None), ("c", "")):
        path = store_of(tmp_path / f"{name}.h5", features_of)
        assert verify(path).ok
        with Store(path) as store, Corpus([path]) as corpus:
            assert store.features_of == corpus.features_of == (features_of or None)


def test_a_store_without_it_is_written_as_before(tmp_path):
    with edit(write_small(tmp_path / "a.h5")) as file:
        assert "features_of" not in file.attrs


def test_stores_of_one_data_set_have_the_same(tmp_path):
    a = store_of(tmp_path / "a.h5", None, "a")
    b = store_of(tmp_path / "b.h5", OURS, "b")
    c = store_of(tmp_path / "c.h5", SAME, "c")
    d = store_of(tmp_path / "d.h5", THEIRS, "d")
    with Corpus([a, b, c]) as corpus:
        assert corpus.features_of == OURS
    with pytest.raises(
        StoreError, match=r"d.h5: its features are of detr@99ff, those of .*b.h5 of detr@12ab"
    ):
        Corpus([a, b, d])
    join_stores([a, b, c], tmp_path / "e.h5")
    with Store(tmp_path / "e.h5") as store:
        assert store.features_of == OURS and store.images == 12


def test_only_what_is_known_to_differ_is_refused():
    for a, b, one in (
        (OURS, SAME, True),
        (OURS, THEIRS, False),
        (None, OURS, True),
        ("x", "x", True),
        ("x", "y", False),
    ):
        assert may_be_one(a, b) is may_be_one(b, a) is one
    refuse_other_features("runs/mine", None, "a.h5", THEIRS)
    with pytest.raises(
        OtherFeatures, match=r"runs/mine was trained on features of detr@12ab, those of a.h5 are of detr@99ff"
    ):
        refuse_other_features("runs/mine", OURS, "a.h5", THEIRS)
