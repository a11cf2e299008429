"""Rows that are stored several at a time arrive, fail and are counted as they would one by one."""

from pathlib import Path

import numpy as np
import pytest

from interbert.sources.importing.shard import Shard, Wishes
from interbert.sources.record import ImageRecord, ImportFault
from interbert.store.known_names import KnownNames
from interbert.store.store import Store


class Rows:
    """A source that is only asked where its rows are."""

    files, keys, class_names, attribute_names = [], range(99), None, None

    def where(self, number: int) -> str:
        return f"row {number}"

    def name(self, number: int) -> str:
        return str(number)

    def read(self, number: int) -> ImageRecord:
        raise AssertionError("not here")


def record(number: int, boxes: int = 3, features: int = 3, width: int = 8, **more: object) -> ImageRecord:
    values = np.full((features, width), number, np.float32)
    return ImageRecord(str(number), 0, 0, np.tile(np.array([0, 0, 1, 1], "<f4"), (boxes, 1)), values, **more)


def shard_of(path: Path, records: list[ImageRecord], skip_bad: int = 9) -> Shard:
    wishes = Wishes(path, 1 << 40, 5, "a test", skip_bad=skip_bad)
    with Shard(path, Rows(), KnownNames(), wishes, []) as shard:
        for number, one in enumerate(records):
            shard.add(number, one, [[f"caption {one.image_id}"]])
        shard.close()
    return shard


def test_what_one_lacks_is_not_made_up_by_the_next(tmp_path):
    """A box too many and one too few would fit together."""
    records = [record(0), record(1, boxes=4), record(2, boxes=2), record(3)]
    shard = shard_of(tmp_path / "a.h5", records)
    assert [fault.partition(",")[0] for fault in shard.bad] == ["row 1", "row 2"]
    with Store(tmp_path / "a.h5") as store:
        assert list(store.image_ids) == ["0", "3"] and list(store.texts()) == ["caption 0", "caption 3"]
        assert store.read_rows("features", 0, 6)[:, 0].tolist() == [0, 0, 0, 3, 3, 3]


def test_the_bad_of_many_are_told_in_order_and_the_first_decides_nothing(tmp_path):
    """Row 0 is wider than the others, and none of its features is a number."""
    records = [record(number) for number in range(20)]
    records[0] = record(0, width=16)
    for number in (0, 7, 9, 17):
        records[number].features_ND[1, 2] = np.nan
    records[12].image_id = "11"
    shard = shard_of(tmp_path / "a.h5", records)
    assert [fault.partition(",")[0] for fault in shard.bad] == [f"row {n}" for n in (0, 7, 9, 12, 17)]
    assert "came before" in shard.bad[3] and shard.counted["images"] == shard.counted["captions"] == 15
    with Store(tmp_path / "a.h5") as store:
        assert list(store.image_ids) == [str(n) for n in range(20) if n not in (0, 7, 9, 12, 17)]


def test_too_many_bad_ones_end_it_and_leave_nothing(tmp_path):
    records = [record(number) for number in range(5)]
    records[3].features_ND[0, 0] = np.inf
    with pytest.raises(ImportFault, match=r"^row 3, image '3': .*NaN or beyond.*--skip-bad MAX"):
        shard_of(tmp_path / "a.h5", records, skip_bad=0)
    assert not list(tmp_path.iterdir())


def test_a_row_with_evidence_among_others_without_is_refused_alone(tmp_path):
    labels = {"labels_N": np.array([1, 2, 3]), "confidence_N": np.ones(3, np.float32)}
    records = [record(0, **labels), record(1, confidence_N=np.ones(3, np.float32)), record(2, **labels)]
    shard = shard_of(tmp_path / "a.h5", records)
    assert len(shard.bad) == 1 and shard.bad[0].startswith("row 1") and "give labels" in shard.bad[0]
    with Store(tmp_path / "a.h5") as store:
        assert store.evidence == "labels" and list(store.image_ids) == ["0", "2"]
