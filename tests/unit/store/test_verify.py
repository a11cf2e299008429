"""`verify` finds each kind of damage and says where; the verbs report and return as they should."""

import numpy as np
import pytest
import xxhash
from small_store import CLASSES, edit, write_small

from interbert.__main__ import main
from interbert.store.verify import verify


@pytest.fixture
def path(tmp_path):
    return write_small(tmp_path / "small.h5")


@pytest.mark.parametrize("evidence", [None, "class_probs", "labels", "class_head"])
def test_a_sound_store(tmp_path, evidence):
    report = verify(write_small(tmp_path / "a.h5", evidence=evidence))
    assert report.ok and report.faults == []
    assert (report.images, report.regions, report.captions, report.swapped) == (12, 33, 12, 8)


def damage(path, dataset, row, value):
    with edit(path) as file:
        if dataset == "bit":
            values = file["features"][row]
            file["features"][row] = (
                values.view(np.uint16) ^ np.eye(1, len(values), 3, dtype=np.uint16)[0]
            ).view("<f2")
        else:
            file[dataset][row] = value


@pytest.mark.parametrize(
    ("dataset", "row", "value", "words"),
    [
        ("features", (8, 3), np.nan, ("'features'", "row 8", "'image-3'", "region 2", "feature 3 is nan")),
        ("features", (8, 3), -np.inf, ("'features'", "row 8", "'image-3'", "-inf")),
        ("boxes", 8, (1, 1, 70, 9), ("'boxes'", "row 8", "'image-3'", "outside", "64 x 48")),
        ("boxes", 8, (9, 1, 7, 9), ("'boxes'", "row 8", "'image-3'", "before it begins")),
        ("class_probs", 8, np.full(CLASSES, 0.5), ("'class_probs'", "row 8", "'image-3'", "sum to 2.5")),
        ("bit", 8, None, ("checksum mismatch", "'image-3'")),
        ("sizes", 3, (99, 0), ("'sizes'", "row 3", "'image-3'", "99 x 0")),
        ("sizes", 3, (99, 99), ("index_checksum",)),
        ("captions/image", 3, 5, ("index_checksum",)),
        ("captions/kind", 3, 9, ("'captions/kind'", "row 3")),
        ("captions/text", 0, ord("C"), ("'captions/text'", "row 0", "'image-1'", "checksum mismatch")),
        ("swapped/text", 0, ord("S"), ("'swapped/text'", "row 0", "'image-1'", "checksum mismatch")),
        ("captions/image", 3, 50, ("'captions/image'", "row 3", "unknown")),
        ("image_ids", 3, b"image-4", ("duplicate", "'image-4'")),
    ],
)
def test_damage_is_found_and_placed(path, dataset, row, value, words):
    damage(path, dataset, row, value)
    report = verify(path)
    assert not report.ok
    assert all(str(path) in fault for fault in report.faults)
    for word in words:
        assert any(word in fault for fault in report.faults), report.faults
    assert any(all(word in fault for word in words) for fault in report.faults), report.faults


def test_each_faulty_image_is_named(path, monkeypatch):
    monkeypatch.setattr("interbert.store.verify._BLOCK_BYTES", 300)  # several blocks
    for image in (0, 4, 11):
        with edit(path) as file:
            file["boxes"][int(file["offsets"][image])] = (0, 0, 500, 1)
    seen = []
    report = verify(path, seen.append)
    for image in (0, 4, 11):
        assert sum(f"'image-{image}' (region 0)" in fault for fault in report.faults) == 1
    assert report.fault_count == 6  # a box and a checksum each
    assert sum(seen) == 12 and len(seen) > 3


def test_labels_out_of_range(tmp_path):
    path = write_small(tmp_path / "a.h5", evidence="labels")
    damage(path, "labels", 8, CLASSES)
    assert any("row 8, image 'image-3' (region 2): label 5 of 5" in fault for fault in verify(path).faults)


def test_verb_verify(path, tmp_path, capsys):
    assert main(["verify", str(path)]) == 0
    assert "12 images, 33 regions, 12 captions, 8 swapped" in capsys.readouterr().out
    damage(path, "features", (8, 3), np.nan)
    assert main(["verify", str(path)]) == 1
    assert "feature 3 is nan" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "none.h5")]) == 1
    write_small(tmp_path / "shards" / "a.h5")
    write_small(tmp_path / "shards" / "b.h5")
    assert main(["verify", str(tmp_path / "shards")]) == 2
    assert "b.h5: image id 'image-0' is in a.h5" in capsys.readouterr().err


def test_verb_inspect(path, tmp_path, capsys):
    from PIL import Image

    picture = tmp_path / "new" / "picture.png"
    assert main(["inspect", str(path), "--images", "3", "--output", str(picture)]) == 0
    out = capsys.readouterr().out
    for word in (
        "12",
        "33, features 16 wide",
        "regions an image: 1 to 5",
        "captions an image: 0 to 2",
        "image-11",
    ):
        assert word in out
    assert "caption 1 of image 11 – ünïcode" in out
    image = Image.open(picture)
    assert min(image.size) > 300 and len(set(image.convert("L").getdata())) > 20
    assert main(["inspect", str(path), "--image-id", "image-5"]) == 0
    assert "image-5: 1 regions" in capsys.readouterr().out
    assert main(["inspect", str(path), "--image-id", "nobody"]) == 2
    assert "no image with id 'nobody'" in capsys.readouterr().err


def test_verb_settings(capsys):
    assert main(["settings"]) == 0
    out = capsys.readouterr().out
    assert (
        "data.token_budget = \n" in out
        and "train.batch = 512 pairs" in out
        and "Most regions of an image" in out
        and "recipes: " in out
    )
    assert main(["settings", "--recipe", "nothing"]) == 2


def test_a_text_with_a_nul_is_a_fault_though_its_checksum_is_right(path):
    with edit(path) as file:
        start, stop = file["captions/offsets"][:2]
        file["captions/text"][start] = 0
        text = file["captions/text"][start:stop].tobytes()
        file["captions/checksums"][0] = xxhash.xxh3_64_intdigest(text)
    (fault,) = verify(path).faults
    assert "'captions/text'" in fault and "row 0" in fault and "NUL" in fault
