"""Files of features that are not what they seem: of other kinds, damaged, hostile, or with what nobody thinks of."""

import gc
import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import foreign
import foreign_files
import h5py
import numpy as np
import pytest
from foreign import CLASSES, WIDTH, Image
from PIL import Image as Picture

from interbert import __main__ as program
from interbert.corpus.corpus import Corpus
from interbert.sources.foreign_files import array_files, hdf5, text_files
from interbert.sources.importing import driver
from interbert.store.store import Store


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def records(made: list[Image], **more) -> dict[bytes, bytes]:
    """As MMF writes them. more: fields by a function of the image's number."""
    found = {}
    for number, image in enumerate(made):
        item = {"image_width": 200, "image_height": 100, "bbox": image.boxes, "features": image.features}
        item |= {name: field(number) for name, field in more.items()}
        found[image.name.encode()] = pickle.dumps(item)
    return found


# What is no file of features is said to be what it is.


def jpeg() -> bytes:
    file = io.BytesIO()
    Picture.effect_noise((64, 48), 60).save(file, "JPEG")
    return file.getvalue()


def as_file(path: Path) -> Path:
    path.write_bytes(jpeg())
    return path


def as_folder(path: Path) -> Path:
    (path / "below").mkdir(parents=True)
    (path / "below" / "a.jpg").write_bytes(jpeg())
    return path


def as_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", jpeg())
    return path


def as_tar(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        picture, member = jpeg(), tarfile.TarInfo("a.jpg")
        member.size = len(picture)
        archive.addfile(member, io.BytesIO(picture))
    return path


@pytest.mark.parametrize("write", [as_file, as_folder, as_zip, as_tar])
def test_images_are_sent_to_extract(write, tmp_path, capsys):
    path = write(tmp_path / "photos")
    bring("--explain", path, code=1)
    assert "`python -m interbert extract --images`" in capsys.readouterr().out
    bring("--input", path, "--output", tmp_path / "a.h5", code=2)
    assert "`python -m interbert extract --images`" in capsys.readouterr().err


def test_archives_of_other_things_are_to_be_unpacked(tmp_path, capsys):
    for name, member in (("a.zip", "x/1.npz"), ("b.pth", "archive/data.pkl")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, b"\0\1\2")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("1.npz"))
    (tmp_path / "c.tar.gz").write_bytes(packed.getvalue())
    bring("--explain", *(tmp_path / name for name in ("a.zip", "b.pth", "c.tar.gz")), code=1)
    said = capsys.readouterr().out
    assert "a zip of x/1.npz; unpack it and give its folder" in said
    assert "a file of PyTorch; save its arrays with numpy.savez" in said and "packed by gzip" in said


@pytest.mark.parametrize("columns", range(2, 14))
def test_a_table_of_captions_is_no_file_of_features(columns, tmp_path, capsys):
    rest = [f"x{number}" for number in range(columns - 2)]
    (tmp_path / "a.tsv").write_text(
        "\t".join(["image", "caption", *rest]) + "\n" + "\t".join(["a.jpg", "a dog", *rest])
    )
    bring("--explain", tmp_path / "a.tsv")
    said = capsys.readouterr().out
    assert "captions: a table with a header" in said and "holds: 1 captions of 1 images" in said


def test_an_encoding_is_taken_when_explaining_too(tmp_path, capsys):
    (tmp_path / "a.csv").write_bytes("image,caption\na.jpg,一只狗\n".encode("gb18030"))
    bring("--explain", tmp_path / "a.csv")
    assert "name its encoding" in capsys.readouterr().out
    bring("--explain", tmp_path / "a.csv", "--encoding", "gb18030")
    assert "holds: 1 captions of 1 images" in capsys.readouterr().out


def test_nothing_that_is_shown_moves_a_terminal(tmp_path, capsys):
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(3), header=True)
    spoilt = (tmp_path / "a.tsv").read_bytes().replace(b"000018", b"\x1b[31m8")
    (tmp_path / "a.tsv").write_bytes(
        spoilt.replace(b"000017", b"\x1b[31m7").replace(b"\tfeat", b"\t\x1b[2Jx\tfeat")
    )
    (tmp_path / "b.tsv").write_bytes(spoilt)
    bring("--explain", tmp_path / "a.tsv", tmp_path / "b.tsv")
    bring("--input", tmp_path / "b.tsv", "--output", tmp_path / "b.h5")
    found = capsys.readouterr()
    assert "\x1b" not in found.out + found.err and "\\x1b[31m8" in found.out


# What is broken or hostile in a row is said of that row.


def damaged_chunk(folder: Path, made: list[Image]) -> Path:
    foreign.write_volta(folder / "a.h5", made)
    with h5py.File(folder / "a.h5", "r+") as file:
        group = file[made[2].name]
        del group["features"]
        chunk = group.create_dataset("features", data=made[2].features, chunks=True, compression="gzip")
        place = chunk.id.get_chunk_info(0).byte_offset
    with open(folder / "a.h5", "r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 20)
    return folder / "a.h5"


def other_features(folder: Path, made: list[Image], **how) -> Path:
    """Instead of those of the third image."""
    foreign.write_volta(folder / "a.h5", made)
    with h5py.File(folder / "a.h5", "r+") as file:
        del file[made[2].name]["features"]
        file[made[2].name].create_dataset("features", **how)
    return folder / "a.h5"


def external_features(folder: Path, made: list[Image]) -> Path:
    (folder / "secret").write_bytes(bytes(4096))
    place = [(str(folder / "secret"), 0, 4096)]
    return other_features(folder, made, shape=(len(made[2].boxes), WIDTH), dtype="f4", external=place)


def claimed_features(folder: Path, made: list[Image]) -> Path:
    shape = {"shape": (10**6, 10**7), "dtype": "f4", "chunks": (1000, 1000), "compression": "gzip"}
    path = other_features(folder, made, **shape)
    with h5py.File(path, "r+") as file:
        file[made[2].name]["features"][0, 0] = 1
    return path


def linked_group(folder: Path, made: list[Image], link: object = None) -> Path:
    foreign.write_volta(folder / "a.h5", made)
    with h5py.File(folder / "a.h5", "r+") as file:
        del file[made[2].name]
        file[made[2].name] = h5py.ExternalLink("b.h5", "/1") if link is None else link
    return folder / "a.h5"


def dangling_group(folder: Path, made: list[Image]) -> Path:
    return linked_group(folder, made, h5py.SoftLink("/nowhere"))


def npz_bomb(folder: Path, made: list[Image]) -> Path:
    foreign.write_npz(folder / "npz", made)
    with zipfile.ZipFile(folder / "npz" / f"{made[2].name}.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", bytes(1 << 20))
    return folder / "npz"


def deep_json(folder: Path, made: list[Image]) -> Path:
    foreign.write_tensorpack(folder / "l", made)
    deep = b"[" * 200_000 + b"]" * 200_000
    foreign.write_lmdb(folder / "l", {b"00000002": deep})
    return folder / "l"


def wide_image(folder: Path, made: list[Image], width: int = 1 << 32) -> Path:
    foreign.write_lmdb(folder / "l", records(made, image_width=lambda n: width + 200 if n == 2 else 200))
    return folder / "l"


def endless_image(folder: Path, made: list[Image]) -> Path:
    return wide_image(folder, made, 10**30)


def large_label(folder: Path, made: list[Image]) -> Path:
    """As a number of 32 bits it would be an honest one."""
    evidence = {
        "objects": lambda n: made[n].labels + (n == 2) * 2**32,
        "obj_conf": lambda n: made[n].confidence,
    }
    foreign.write_lmdb(folder / "l", records(made, **evidence))
    return folder / "l"


def long_line(folder: Path, made: list[Image]) -> Path:
    foreign.write_tsv(folder / "a.tsv", made)
    rows = (folder / "a.tsv").read_bytes().splitlines()
    rows[2] = rows[2] + b"\t" + b"A" * (1 << 20)
    (folder / "a.tsv").write_bytes(b"\n".join(rows))
    return folder / "a.tsv"


FAULTS = {
    damaged_chunk: "cannot be read",
    external_features: "features: its numbers are in another file",
    claimed_features: "features: 40,000,000,000,000 bytes by its shape",
    linked_group: "is a link",
    dangling_group: "is a link",
    npz_bomb: "1,048,576 bytes when unpacked",
    deep_json: "not readable JSON",
    wide_image: "an image of 4,294,967,496 x 100 pixels",
    endless_image: "an image of 1,000,",
    large_label: "is no number of a class",
    long_line: "a line of 1,048",
}


@pytest.mark.parametrize("write", FAULTS, ids=lambda write: write.__name__)
def test_a_row_that_cannot_be_is_named_and_left_out_when_asked(write, tmp_path, capsys, monkeypatch):
    for module in (array_files, hdf5, text_files):
        monkeypatch.setattr(module, "MOST_BYTES", 1 << 19)
    made = foreign.images(5)
    path = write(tmp_path, made)
    words = ["--input", path, "--output", tmp_path / "out.h5", "--classes", CLASSES]
    bring(*words, code=2)
    said = capsys.readouterr().err
    assert str(path) in said and FAULTS[write] in said and "--skip-bad" in said
    assert made[2].name in said or "00000002" in said or "line 3" in said
    bring(*words, "--skip-bad", 1)
    with Store(tmp_path / "out.h5") as store:
        assert sorted(store.image_ids) == sorted(image.name for image in (*made[:2], *made[3:]))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npy", b"hello", "a.npy: it begins with b'hello'"),
        ("a.tsv", b"", "a.tsv: it is empty"),
        ("cut.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "cut.h5: not a readable HDF5 file"),
        ("l", {b"1": b"{nope}"}, "l: an LMDB whose first record (key '1') cannot be read: not readable JSON"),
        ("l", {b"1": b"[" * 100_000 + b"]" * 100_000}, "l: an LMDB whose first record (key"),
    ],
)
def test_what_is_broken_from_its_beginning_is_named(name, data, message, tmp_path, capsys):
    if isinstance(data, bytes):
        (tmp_path / name).write_bytes(data)
    else:
        foreign.write_lmdb(tmp_path / name, data)
    bring("--input", tmp_path / name, "--output", tmp_path / "a.h5", code=2)
    assert message in capsys.readouterr().err


def test_a_mark_of_utf_8_is_no_part_of_the_first_id(tmp_path):
    """As Windows puts it before a text; in a gzip too, which is read in another way."""
    made = foreign.images(3)
    foreign.write_tsv(tmp_path / "a.tsv", made)
    marked = b"\xef\xbb\xbf" + (tmp_path / "a.tsv").read_bytes()
    for name, data in (("b.tsv", marked), ("c.tsv.gz", gzip.compress(marked))):
        (tmp_path / name).write_bytes(data)
        bring("--input", tmp_path / name, "--output", tmp_path / "out.h5", "--overwrite")
        with Store(tmp_path / "out.h5") as store:
            assert list(store.image_ids) == [image.name for image in made]


def test_plain_arrays_of_hdf5_wherever_they_lie(tmp_path, capsys):
    """Behind a user's block, of the other byte order, and one that its writer never came to."""
    made = foreign.images(4)
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        for image in made[:3]:
            group = file.create_group(image.name)
            group["features"], group["boxes"] = image.features.astype(">f4"), image.boxes.astype(">f8")
            group["img_w"], group["img_h"] = np.int16(200), np.int16(100)
        group = file.create_group(made[3].name)
        group.create_dataset("features", made[3].features.shape, "f4")
        group["boxes"], group["img_w"], group["img_h"] = made[3].boxes, 200, 100
    words = ("--input", tmp_path / "a.h5", "--output", tmp_path / "out.h5")
    bring(*words, code=2)
    assert f"group {made[3].name!r}" in (said := capsys.readouterr().err) and "never written" in said
    bring(*words, "--skip-bad", 1)
    with Store(tmp_path / "out.h5") as store:
        found = store.read_rows("features", 0, store.regions)
    np.testing.assert_array_equal(found, np.concatenate([i.features for i in made[:3]]).astype("<f2"))


def test_a_bad_first_row_does_not_say_what_the_others_are_like(tmp_path):
    made = foreign.images(4)
    rows = records(made)
    wrong = {"features": np.full((len(made[0].boxes), 2 * WIDTH), np.nan, np.float32), "bbox": made[0].boxes}
    rows[made[0].name.encode()] = pickle.dumps(wrong | {"image_width": 200, "image_height": 100})
    foreign.write_lmdb(tmp_path / "l", rows)
    bring("--input", tmp_path / "l", "--output", tmp_path / "a.h5", "--skip-bad", 1)
    with Store(tmp_path / "a.h5") as store:
        assert store.images == 3 and store.feature_width == WIDTH


# What writers leave that others do not think of.


def edited(path: Path, number: int, edit) -> None:
    """A line of predictions, its objects changed; or the line itself."""
    lines = path.read_text().splitlines()
    name, text = lines[number].split("\t")
    row = json.loads(text)
    lines[number] = edit(row["objects"]) or f"{name}\t{json.dumps(row)}"
    path.write_text("\n".join(lines) + "\n")


def test_an_object_may_have_no_attribute(tmp_path, capsys):
    made = foreign.images(5)
    (inputs,) = foreign_files.vinvl(tmp_path, made)
    edited(tmp_path / "predictions.tsv", 4, lambda found: found[1].update(attributes=[], attr_scores=[]))
    bring("--input", inputs, "--output", tmp_path / "a.h5")
    assert "5 of attributes that are found here" in capsys.readouterr().out
    order = np.argsort(-made[0].confidence, kind="stable").tolist()
    with Store(tmp_path / "a.h5") as store:
        names = ["__background__", *(f"attribute {number}" for number in range(foreign_files.KINDS))]
        assert store.images == 5 and store.attribute_names == names
        rows = store.read_rows("attributes/label", 0, len(order)).tolist()
        sure = store.read_rows("attributes/confidence", 0, len(order)).tolist()
        wanted = foreign_files.attributes(made[0])
        for place, region in enumerate(order):
            assert names[rows[place]] == (names[0] if region == 1 else f"attribute {wanted[region]}")
            assert (sure[place] == 0) == (region == 1)


def test_names_of_classes_do_not_take_the_attributes_away(tmp_path):
    made = foreign.images(4)
    (inputs,) = foreign_files.vinvl(tmp_path, made)
    (tmp_path / "names").write_text("\n".join(foreign_files.NAMES))
    bring("--input", inputs, "--output", tmp_path / "a.h5", "--class-names", tmp_path / "names")
    with Store(tmp_path / "a.h5") as store:
        assert store.class_names == foreign_files.NAMES
        assert store.attribute_names == [f"attribute {number}" for number in range(foreign_files.KINDS)]


@pytest.mark.parametrize(
    "edit", [lambda found: "?\t{", lambda found: found.append(7), lambda found: found.clear()]
)
def test_a_broken_line_of_predictions_is_of_one_image(edit, tmp_path, capsys):
    made = foreign.images(5)
    (inputs,) = foreign_files.vinvl(tmp_path, made)
    edited(tmp_path / "predictions.tsv", 2, edit)
    words = ("--input", inputs, "--output", tmp_path / "a.h5")
    bring(*words, code=2)
    assert f"features.tsv, line 3, image '{made[2].name}': " in capsys.readouterr().err
    bring(*words, "--skip-bad", 1)


def test_uniters_counts_must_be_of_all_images(tmp_path, capsys):
    made = foreign.images(3)
    (tmp_path / "flickr30k").mkdir()
    foreign.write_uniter_lmdb(tmp_path / "flickr30k" / "all", made)
    counts = tmp_path / "flickr30k" / "nbb_th0.2_max100_min10.json"
    counts.write_text(json.dumps({f"{image.name}.npz": 2 for image in made[:2]}))
    words = ("--input", tmp_path / "flickr30k", "--output", tmp_path / "a.h5")
    bring(*words, code=2)
    assert f"image '{made[2].name}'" in (said := capsys.readouterr().err) and "does not say how many" in said
    for text in ("[1]", '{"a": "b"}', "?"):
        counts.write_text(text)
        bring(*words, code=2)
        assert str(counts) in capsys.readouterr().err


def test_sizes_that_fit_no_image_are_told(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    foreign_files.LAYOUTS["cocobu"].write(tmp_path / "in", foreign.images(3))
    (tmp_path / "sizes").write_text("image_id,width,height\n17,200,100\n")
    bring("--input", tmp_path / "in", "--output", tmp_path / "a.h5", "--sizes", tmp_path / "sizes")
    assert "3 images are of unknown size, their boxes shares of 1" in capsys.readouterr().out


def test_whose_features_they_are_can_be_said(tmp_path):
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(3))
    words = ("--input", tmp_path / "a.tsv", "--features-of", "vinvl")
    bring(*words, "--output", tmp_path / "a.h5")
    bring(*words, "--output", tmp_path / "b.h5", "--shard-gb", 1e-9)  # joined of several
    for name in ("a.h5", "b.h5"):
        with Store(tmp_path / name) as store:
            assert store.features_of == "vinvl"


def test_a_width_that_arrays_do_not_have_is_a_fault(tmp_path, capsys):
    foreign.write_lmdb(tmp_path / "l", records(foreign.images(3)))
    words = ("--input", tmp_path / "l", "--output", tmp_path / "a.h5", "--feature-width")
    bring(*words, WIDTH + 1, code=2)
    assert f"{WIDTH} numbers a region, --feature-width {WIDTH + 1}" in capsys.readouterr().err
    gc.collect()  # what failed lets go of its LMDB, which a process has open once
    bring(*words, WIDTH)


def stopped(monkeypatch, rows: int, *words: object) -> None:
    """The import, interrupted at its row of that number."""
    order, calls = driver.surest_first, []

    def interrupt(record):
        calls.append(record)
        if len(calls) == rows:
            raise KeyboardInterrupt
        return order(record)

    with monkeypatch.context() as patched:
        patched.setattr(driver, "surest_first", interrupt)
        bring(*words, code=130)


@pytest.mark.parametrize(("name", "beside"), [("mmf-npy", "{}_info.npy"), ("cocobu", "cocobu_box/{}.npy")])
def test_what_lies_beside_an_image_belongs_to_the_work(name, beside, tmp_path, capsys, monkeypatch):
    """Shards of before a change and after it are not mixed."""
    made = foreign.images(6)
    (tmp_path / "in").mkdir()
    foreign_files.LAYOUTS[name].write(tmp_path / "in", made)
    words = ("--input", tmp_path / "in", "--output", tmp_path / "out", "--shard-gb", 1e-7)
    stopped(monkeypatch, 4, *words)
    stopped(monkeypatch, 1, *words)
    assert "going on from" in capsys.readouterr().out
    os.utime(tmp_path / "in" / beside.format(made[0].name), ns=(5, 5))
    bring(*words)
    assert "beginning anew" in capsys.readouterr().out


@pytest.mark.parametrize("output", ["out", "out.h5"])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 6, 8, 12])
def test_killed_while_the_output_gets_its_name(after, output, tmp_path, monkeypatch):
    """After so many of the last steps: then the output is there, or the same command still brings it."""
    made = foreign.images(6)
    foreign.write_tsv(tmp_path / "a.tsv", made)
    size = 1e-7 if output == "out" else 1
    words = ["--input", tmp_path / "a.tsv", "--output", tmp_path / output, "--shard-gb", size]
    left = [after]

    def stepped(step):
        def dying(*given, **named):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return step(*given, **named)

        return dying

    with monkeypatch.context() as patched:
        patched.setattr(driver, "_settle", with_steps(driver._settle, patched, stepped))
        program.main(["import", *map(str, words)])
    if not (tmp_path / output).exists():
        bring(*words)
    with Corpus([tmp_path / output]) as corpus:
        assert [corpus.image_id(number) for number in range(corpus.images)] == [image.name for image in made]
    bring(*words, "--overwrite")


def with_steps(settle, patched, stepped):
    """The same, with what it does to the disk counted."""

    def counted(*given):
        for place, name in ((os, "replace"), (driver.shutil, "rmtree"), (Path, "rename"), (Path, "unlink")):
            patched.setattr(place, name, stepped(getattr(place, name)))
        for name in ("write_json", "remove", "settle_folder"):
            patched.setattr(driver, name, stepped(getattr(driver, name)))
        return settle(*given)

    return counted


def test_a_row_group_as_large_as_its_file_is_not_held(tmp_path, monkeypatch):
    """What is decoded at a time is a few rows, in whatever group they are."""
    parquet = pytest.importorskip("pyarrow.parquet")
    from interbert.sources.foreign_files import table_rows

    monkeypatch.setattr(table_rows, "_MOST_ROWS", 5)
    made = foreign.images(40)
    parquet.write_table(foreign_files._table(made), tmp_path / "a.parquet")
    sizes, batches = [], table_rows._Parquet.batches

    def noted(self, columns, start):
        for first, batch in batches(self, columns, start):
            sizes.append(batch.num_rows)
            yield first, batch

    monkeypatch.setattr(table_rows._Parquet, "batches", noted)
    bring("--input", tmp_path / "a.parquet", "--output", tmp_path / "a.h5", "--classes", CLASSES)
    assert max(sizes) <= 5 and sum(sizes) < 60
    with Store(tmp_path / "a.h5") as store:
        assert store.image_ids == [str(int(image.name)) for image in made]
