"""Data sets that lack a part, hold one twice, or hold what does not belong together: never taken without a word."""

import gzip
import json
import os
import zipfile

import foreign
import lmdb
import numpy as np
import pytest
from all_layouts import FORMATS
from foreign import b64
from picture_files import needed_pyarrow, write_table

from interbert import __main__ as program
from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.formats import source_of
from interbert.sources.record import ImportFault
from interbert.store.store import Store


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


@pytest.mark.parametrize("named", [(), ("vilbert-lmdb",)])
def test_a_cut_lmdb_is_told_and_does_not_end_the_process(named, tmp_path, capsys):
    foreign.write_vilbert(tmp_path / "a.lmdb", foreign.images(40))
    data = tmp_path / "a.lmdb" / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    bring(*named, "--input", tmp_path / "a.lmdb", "--output", tmp_path / "a.h5", code=2)
    said = capsys.readouterr().err
    assert f"{tmp_path}/a.lmdb" in said and "copy the LMDB again" in said


@pytest.mark.parametrize("name", ["bottom-up-tsv", "vilbert-lmdb", "volta-h5"])
def test_a_file_that_is_cut_while_it_is_read_is_told(name, tmp_path):
    """They are mapped into memory: to look at what is gone would end the process."""
    FORMATS[name](tmp_path / "theirs", foreign.images(400))
    source = source_of(name)([tmp_path / "theirs"], Choices())
    assert source.read(300).image_id == "000317"
    os.truncate(source.files[0], 4096 * 2)
    with pytest.raises(ImportFault, match=r"cut|copy the file again"):
        source.read(399)


def test_a_gzip_that_is_cut_in_its_first_line_is_told(tmp_path, capsys):
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(3))
    packed = gzip.compress((tmp_path / "a.tsv").read_bytes())
    for size in (30, len(packed) - 4):
        (tmp_path / "b.tsv.gz").write_bytes(packed[:size])
        bring("--input", tmp_path / "b.tsv.gz", "--output", tmp_path / "a.h5", code=2)
        assert "b.tsv.gz" in (said := capsys.readouterr().err) and "ended before the end-of-stream" in said


def test_an_arrow_file_that_is_damaged_is_told(tmp_path, capsys):
    """Arrow itself would end the process, or read what is not of the row."""
    pyarrow = needed_pyarrow()
    rows = [
        as_row(image) | {"features": [[0.5] * 1357], "boxes": [[0, 0, 9, 9]]} for image in foreign.images(3)
    ]
    table = pyarrow.table({name: [row[name] for row in rows] for name in rows[0]}).drop(["num_boxes"])
    with pyarrow.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    lengths, wrong = (np.array(values, "<i4").tobytes() for values in ([0, 1357, 2714], [0, 2**30, 2714]))
    data = (tmp_path / "a.arrow").read_bytes()
    assert data.count(lengths) == 1
    (tmp_path / "a.arrow").write_bytes(data.replace(lengths, wrong))
    bring("--input", tmp_path / "a.arrow", "--output", tmp_path / "a.h5", code=2)
    assert "a.arrow: not a whole table" in capsys.readouterr().err


def test_an_arrow_file_that_is_cut_while_it_is_read_is_told(tmp_path):
    pyarrow = needed_pyarrow()
    rows = [as_row(image) for image in foreign.images(400)]
    table = pyarrow.table({name: [row[name] for row in rows] for name in rows[0]})
    with pyarrow.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=400)
    source = source_of("hf-table")([tmp_path / "a.arrow"], Choices())
    assert source.read(0).image_id == "000017"
    os.truncate(tmp_path / "a.arrow", 4096 * 2)
    with pytest.raises(ImportFault, match="cut while it was read"):
        source.read(399)


def as_row(image: foreign.Image) -> dict:
    return {
        "img_id": image.name, "img_w": 200, "img_h": 100, "num_boxes": len(image.boxes),
        "boxes": image.boxes.tolist(), "features": image.features.tolist(),
    }  # fmt: skip


def test_a_table_with_images_beside_their_features(tmp_path, capsys):
    """In a stream of the name that Hugging Face's own script gives; and one without features."""
    pyarrow = needed_pyarrow()
    rows = [as_row(image) | {"image": {"bytes": b"?", "path": None}} for image in foreign.images(3)]
    table = pyarrow.table({name: [row[name] for row in rows] for name in rows[0]})
    with pyarrow.ipc.new_stream(str(tmp_path / "train.datasets"), table.schema) as writer:
        writer.write_table(table)
    bring("--input", tmp_path / "train.datasets", "--output", tmp_path / "a.h5")
    assert "3 images" in capsys.readouterr().out
    write_table(tmp_path / "b.parquet", key=["1"], url=["http://a"])
    bring("--input", tmp_path / "b.parquet", "--output", tmp_path / "b.h5", code=2)
    assert "b.parquet: a table with key, url: no features" in capsys.readouterr().err


def test_what_else_is_in_a_zip_of_rows_is_left_alone(tmp_path):
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(3))
    with zipfile.ZipFile(tmp_path / "trainval_36.zip", "w") as archive:
        archive.writestr("trainval_36/README.txt", "of bottom-up attention")
        archive.write(tmp_path / "a.tsv", "trainval_36/trainval_resnet101_faster_rcnn_genome_36.tsv")
    bring("--input", tmp_path / "trainval_36.zip", "--output", tmp_path / "a.h5")
    with Store(tmp_path / "a.h5") as store:
        assert store.images == 3


def test_a_table_is_read_without_what_datasets_left_beside_it(tmp_path, capsys):
    needed_pyarrow()
    rows = [as_row(image) for image in foreign.images(3)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("data-00000-of-00001.arrow", "cache-0123456789abcdef.arrow"):
        write_table(tmp_path / "saved" / name, **columns)
    bring("--input", tmp_path / "saved", "--output", tmp_path / "a.h5")
    assert "3 images" in (said := capsys.readouterr().out)
    assert "1 files named cache-….arrow are left alone" in said
    for name in ("train-0.parquet", "validation-0.parquet"):
        write_table(tmp_path / "both" / name, **columns)
    bring("--input", tmp_path / "both", "--output", tmp_path / "b.h5", code=2)
    assert "holds several splits: train (train-0.parquet), validation" in capsys.readouterr().err
    bring("--input", tmp_path / "both" / "train-0.parquet", "--output", tmp_path / "b.h5")


def test_a_folder_of_arrays_of_all_images_is_not_one_of_an_image_each(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "train_ims.npy", rng.random((3, 4, 8), np.float32))
    (tmp_path / "train_ids.txt").write_text("10\n11\n12\n")
    bring("--input", tmp_path, "--output", tmp_path / "out" / "a.h5")
    with Store(tmp_path / "out" / "a.h5") as store:
        assert list(store.image_ids) == ["10", "11", "12"]
    np.save(tmp_path / "dev_ims.npy", rng.random((3, 4, 8), np.float32))
    bring("--input", tmp_path, "--output", tmp_path / "out" / "b.h5", code=2)
    assert "dev_ims.npy, train_ims.npy in it; give the file of the split" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(3, 3, 8), (1, 3, 3, 8), (1, 9, 8)])
def test_a_grid_of_features_is_a_list_of_its_cells(shape, tmp_path):
    values = np.arange(72, dtype=np.float32).reshape(shape)
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", values)
    bring("--input", tmp_path / "in", "--output", tmp_path / "a.h5", "--boxes", "grid")
    with Store(tmp_path / "a.h5") as store:
        np.testing.assert_array_equal(store.read_rows("features", 0, 9), values.reshape(9, 8))


def test_what_lies_beside_one_image_must_lie_beside_all(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    made = foreign.images(3)
    for image in made:
        np.save(tmp_path / "in" / f"{image.name}.npy", image.features)
        info = {"bbox": image.boxes, "image_width": 200, "image_height": 100}
        np.save(tmp_path / "in" / f"{image.name}_info.npy", info)
    (tmp_path / "in" / f"{made[1].name}_info.npy").unlink()
    words = ("--input", tmp_path / "in", "--output", tmp_path / "a.h5")
    bring(*words, code=2)
    assert f"image '{made[1].name}': no _info.npy of it" in capsys.readouterr().err
    bring(*words, "--skip-bad", 1)
    with Store(tmp_path / "a.h5") as store:
        assert list(store.image_ids) == [made[0].name, made[2].name]


def test_an_image_without_boxes_is_no_whole_image_where_others_have_theirs(tmp_path, capsys):
    made = foreign.images(3)
    columns = ["img_id", "img_w", "img_h", "num_boxes", "boxes", "features"]
    rows = ["\t".join(columns)]
    for number, image in enumerate(made):
        row = as_row(image) | {"boxes": b64(image.boxes), "features": b64(image.features)}
        row |= {"boxes": b""} if number == 2 else {}
        cells = [cell.decode() if isinstance(cell, bytes) else str(cell) for cell in row.values()]
        rows.append("\t".join(cells))
    (tmp_path / "a.tsv").write_text("\n".join(rows))
    bring("--input", tmp_path / "a.tsv", "--output", tmp_path / "a.h5", code=2)
    assert f"line 4, image '{made[2].name}': boxes: 0 bytes" in capsys.readouterr().err
    needed_pyarrow()
    items = [as_row(image) for image in made]
    items[2]["boxes"] = None
    (tmp_path / "in").mkdir()
    write_table(tmp_path / "in" / "a.parquet", **{name: [item[name] for item in items] for name in columns})
    bring("--input", tmp_path / "in", "--output", tmp_path / "a.h5", code=2)
    assert "row 2, image '000019': no boxes, which other images have" in capsys.readouterr().err
    items = [{name: value for name, value in item.items() if name != "boxes"} for item in items]
    write_table(tmp_path / "in" / "a.parquet", **{name: [item[name] for item in items] for name in items[0]})
    bring("--input", tmp_path / "in", "--output", tmp_path / "a.h5")
    assert "boxes: none in these files; --boxes whole" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["urls", "unfilled", "fractions", "capitals", "no sizes"])
def test_a_table_in_other_words(how, tmp_path):
    """Base64 of the alphabet for URLs, or without what fills it up; counts that pandas made fractions."""
    made, columns = foreign.images(4), ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
    rows = [[i.name, "200", "100", str(len(i.boxes)), b64(i.boxes), b64(i.features)] for i in made]
    rows = [[cell.decode() if isinstance(cell, bytes) else cell for cell in row] for row in rows]
    for row in rows:
        if how == "urls":
            row[4:] = [cell.replace("+", "-").replace("/", "_") for cell in row[4:]]
        elif how == "unfilled":
            row[4:] = [cell.rstrip("=") for cell in row[4:]]
        elif how == "fractions":
            row[1:4] = [f"{cell}.0" for cell in row[1:4]]
    if how == "capitals":
        columns = [column.upper() for column in columns]
    if how == "no sizes":
        rows, columns = [[row[0], *row[3:]] for row in rows], [columns[0], *columns[3:]]
    lines = [columns, *rows] if how in ("capitals", "no sizes") else rows
    (tmp_path / "a.tsv").write_text("\n".join(map("\t".join, lines)))
    sizes = [{"image_id": image.name, "width": 200, "height": 100} for image in made]
    (tmp_path / "sizes.json").write_text(json.dumps(sizes))
    words = ("--sizes", tmp_path / "sizes.json") if how == "no sizes" else ()
    bring("--input", tmp_path / "a.tsv", "--output", tmp_path / "a.h5", *words)
    with Store(tmp_path / "a.h5") as store:
        assert list(store.image_ids) == [image.name for image in made]
        found = store.read_rows("features", 0, store.regions), store.read_rows("boxes", 0, store.regions)
    np.testing.assert_array_equal(found[0], np.concatenate([i.features for i in made]).astype("<f2"))
    np.testing.assert_array_equal(found[1], np.concatenate([i.boxes for i in made]))


def test_a_broken_first_record_does_not_hide_what_the_others_are(tmp_path, capsys):
    foreign.write_vilbert(tmp_path / "good", made := foreign.images(3))
    environment = lmdb.open(str(tmp_path / "good"), map_size=1 << 24)
    with environment, environment.begin(write=True) as transaction:
        transaction.put(made[0].name.encode(), b"\x80\x04broken.")
    words = ("--input", tmp_path / "good", "--output", tmp_path / "a.h5")
    bring(*words, code=2)
    assert "key '000017'" in (said := capsys.readouterr().err) and "not a readable pickle" in said
    bring(*words, "--skip-bad", 1)
    with Store(tmp_path / "a.h5") as store:
        assert store.images == 2
