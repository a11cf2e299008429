"""Every layout of features: recognised, read exactly, told about, killed and continued."""

import json
import re
import sys
from pathlib import Path

import foreign
import h5py
import numpy as np
import pytest
from all_layouts import NAMES, images_for, written
from foreign import CLASSES, Image
from foreign_arrays import attribute_confidence, attributes
from foreign_files import LAYOUTS, Layout
from rank_pair import on_two_ranks

from interbert import __main__ as program
from interbert import mpi
from interbert.corpus.corpus import Corpus
from interbert.mpi import World
from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.formats import source_of
from interbert.sources.features.looks.recognise import recognise
from interbert.sources.importing import driver
from interbert.store.store import Store
from interbert.store.verify import verify


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def key_of(layout: Layout, image: Image) -> np.ndarray | None:
    """What its regions are put in order by."""
    if layout.ordered_by is None:
        return None
    if layout.ordered_by == "confidence":
        half = layout is LAYOUTS["halves-tsv"]
        return image.confidence.astype(np.float16) if half else image.confidence
    return (image.probs[:, 1:] if "but" in layout.ordered_by else image.probs).max(axis=1)


def expected(layout: Layout, image: Image) -> dict[str, np.ndarray]:
    key_N = key_of(layout, image)
    order_N = np.arange(len(image.boxes)) if key_N is None else np.argsort(-key_N, kind="stable")
    boxes = image.boxes if layout.sized else image.boxes / np.array([200, 100, 200, 100], np.float32)
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (len(boxes), 1)) if layout.boxes == "whole" else boxes
    found = {"features": image.features.astype(np.float16), "boxes": boxes}
    found |= {"class_probs": image.probs} if layout.probs else {}
    found |= {"labels": image.labels, "confidence": image.confidence} if layout.labels else {}
    if layout.attributes:
        found |= {"attributes/label": attributes(image), "attributes/confidence": attribute_confidence(image)}
    return {name: values[order_N] for name, values in found.items()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_arrives_exactly(name, tmp_path, capsys):
    layout, made = LAYOUTS[name], images_for(name)
    inputs = written(name, tmp_path / "in", made)
    bring("auto", "--input", *inputs, "--output", tmp_path / "a.h5", "--classes", CLASSES)
    assert capsys.readouterr().out.startswith(f"{layout.format}: ")
    assert verify(tmp_path / "a.h5").ok
    with Store(tmp_path / "a.h5") as store:
        ids = {str(int(image.name)) if layout.numbers else image.name: image for image in made}
        assert set(store.image_ids) == set(ids) and len(store.image_ids) == len(made)
        assert store.evidence == ("class_probs" if layout.probs else "labels" if layout.labels else None)
        assert store.has_attributes == layout.attributes
        texts = list(store.texts())
        for number, image_id in enumerate(store.image_ids):
            image, rows = ids[image_id], store.offsets[number : number + 2].tolist()
            for dataset, values in expected(layout, image).items():
                ours = store.read_rows(dataset, *rows)
                exact = dataset == "features" or (dataset == "boxes" and layout.boxes != "shares")
                exact = exact or dataset.endswith("label") or dataset == "labels"
                tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 2e-6, "atol": 1e-3}
                np.testing.assert_allclose(ours.astype(np.float32), values, **tolerance, err_msg=dataset)
            assert tuple(store.sizes[number]) == ((200, 100) if layout.sized else (0, 0))
            mine = [texts[c] for c in np.flatnonzero(store.caption_image == number)]
            several = [f"{image.caption} {n}" for n in range(5)] if name == "scan" else [image.caption]
            assert mine == (several if layout.captions else [])


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_known_without_reading_the_rest(name, tmp_path):
    inputs = written(name, tmp_path / "in", images_for(name))
    seen = recognise(inputs)
    source = source_of(seen.format)(inputs, Choices())
    ids = [source.name(number) for number in range(len(source.keys))]
    assert ids == [source.read(number).image_id for number in range(len(source.keys))]


class Died(BaseException):
    pass


@pytest.mark.parametrize("name", NAMES)
def test_killed_and_continued(name, tmp_path, capsys, monkeypatch):
    made = images_for(name)
    inputs = written(name, tmp_path / "in", made)
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({str(int(i.name)): f"w{n:02} w{n + 20} w00" for n, i in enumerate(made)}))
    words = ["auto", "--input", *inputs, "--captions", captions, "--classes", CLASSES, "--shard-gb", 2e-7]
    order, calls = driver.surest_first, []

    def die(record):
        calls.append(record)
        if len(calls) == 9:
            raise Died
        return order(record)

    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(driver, "surest_first", die)
        program.main(["import", *map(str, words), "--output", f"{tmp_path}/out"])
    done = {path: path.stat().st_ino for path in sorted((tmp_path / ".out.partial").glob("shard*.h5"))}
    assert done and not (tmp_path / "out").exists()
    bring(*words, "--output", tmp_path / "out")
    assert "going on from" in capsys.readouterr().out
    assert set(done.values()) < {path.stat().st_ino for path in (tmp_path / "out").glob("*.h5")}
    bring(*words[:-2], "--output", tmp_path / "whole.h5")
    with Corpus([tmp_path / "out"]) as apart, Corpus([tmp_path / "whole.h5"]) as whole:
        assert list(apart.texts()) == list(whole.texts())
        everything = np.arange(len(made)), whole.region_counts
        for ours, theirs in zip(apart.read(*everything), whole.read(*everything), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_ranks_share_the_rows(name, tmp_path, monkeypatch):
    made = images_for(name)
    inputs = written(name, tmp_path / "in", made)
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({str(int(image.name)): image.caption for image in made}))
    words = ["--input", *inputs, "--captions", captions, "--classes", CLASSES]

    def work(world: World) -> None:
        monkeypatch.setattr(mpi, "mpi_world", lambda: world)
        bring(*words, "--output", tmp_path / "shared")

    on_two_ranks(tmp_path, work)
    monkeypatch.undo()
    bring(*words, "--output", tmp_path / "alone.h5")
    assert len(list((tmp_path / "shared").glob("*.h5"))) == 2
    with Corpus([tmp_path / "shared"]) as shared, Corpus([tmp_path / "alone.h5"]) as alone:
        assert list(shared.texts()) == list(alone.texts())
        assert [shared.image_id(n) for n in range(12)] == [alone.image_id(n) for n in range(12)]
        everything = np.arange(len(made)), alone.region_counts
        for ours, theirs in zip(shared.read(*everything), alone.read(*everything), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_image_is_named_and_left_out_when_asked(name, tmp_path, capsys):
    made = images_for(name)
    made[9].features[1, 0] = np.nan
    inputs = written(name, tmp_path / "in", made)
    words = ["auto", "--input", *inputs, "--output", tmp_path / "a.h5", "--classes", CLASSES]
    bring(*words, code=2)
    said = capsys.readouterr().err
    assert str(tmp_path / "in") in said and "NaN" in said and re.search("26|00000009|image 9|row 9", said), (
        said
    )
    bring(*words, "--skip-bad", 1)
    with Store(tmp_path / "a.h5") as store:
        assert store.images == 11


def store_of(tmp_path: Path, *words: object) -> Store:
    bring(*words, "--output", tmp_path / "out.h5", "--overwrite")
    return Store(tmp_path / "out.h5")


def rows_of(store: Store, dataset: str, image_id: str) -> np.ndarray:
    number = store.image_ids.index(image_id)
    return store.read_rows(dataset, *store.offsets[number : number + 2].tolist())


@pytest.mark.parametrize("name", NAMES)
def test_explaining_says_what_is_seen_and_writes_nothing(name, tmp_path, capsys):
    inputs = written(name, tmp_path / "in", images_for(name))
    before = sorted(path for path in tmp_path.rglob("*") if path.name != "lock.mdb")
    if name == "butd-adaptive":  # what is amiss is told as well
        bring("--explain", inputs[0], code=1)
        assert "train_imgid2idx.pkl is not beside it" in capsys.readouterr().out
        return
    bring("--explain", inputs[0])
    said = capsys.readouterr().out
    layout = LAYOUTS.get(name)
    rows = 5 if name == "tensorpack-parts" else 12
    assert f"layout    {layout.format if layout else name}: " in said
    assert re.search(rf"rows +{rows}$", said, re.M) and "8 wide, float" in said
    assert re.search(r"ids +(0000)?17, (0000)?18, (0000)?19 …", said)
    missing = re.search(r"missing +(.*)", said)[1]
    if layout is not None:
        assert ("class evidence" in missing) == (not layout.probs and not layout.labels)
        assert ("confidence" in missing) == (layout.ordered_by is None)
        assert ("sizes" in missing) == (not layout.sized) and ("captions" in missing) == (not layout.captions)
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "lock.mdb") == before


def test_what_is_of_no_known_format_is_told(tmp_path, capsys):
    (tmp_path / "a.bin").write_bytes(b"\1\2\3\4 hello")
    words = ("--input", tmp_path / "a.bin", "--output", tmp_path / "a.h5")
    bring(*words, code=2)
    assert "it begins with b'\\x01\\x02\\x03\\x04 hello'; of no format" in capsys.readouterr().err
    bring("--explain", tmp_path / "a.bin", code=1)
    assert "of no format that is known here" in capsys.readouterr().out
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(2))
    bring("--input", tmp_path / "a.tsv", "--output", tmp_path / "a.h5")
    bring("--input", tmp_path / "a.h5", "--output", tmp_path / "b.h5", code=2)
    assert "a store of interbert's already" in capsys.readouterr().err
    bring("--output", tmp_path / "b.h5", code=2)
    assert "--input and --output are needed" in capsys.readouterr().err


def test_without_pyarrow_its_pip_line_is_named(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    bring("auto", "--input", tmp_path / "a.parquet", "--output", tmp_path / "a.h5", code=2)
    assert "pip install pyarrow" in capsys.readouterr().err


def test_attributes_are_checked_and_joined(tmp_path):
    made = foreign.images(8)
    (inputs,) = LAYOUTS["lxmert-tsv"].write(tmp_path, made)
    with store_of(tmp_path, "--input", inputs, "--classes", CLASSES, "--shard-gb", 1e-7) as store:
        order = np.argsort(-made[5].confidence, kind="stable")
        found = rows_of(store, "attributes/label", made[5].name)
        np.testing.assert_array_equal(found, attributes(made[5])[order])
        start = int(store.offsets[2])
    with h5py.File(tmp_path / "out.h5", "r+", locking=False) as file:
        file["attributes/confidence"][start] = 1.5
    report = verify(tmp_path / "out.h5")
    assert report.fault_count == 2 and "checksum" in report.faults[0] and "confidence 1.5" in report.faults[1]
