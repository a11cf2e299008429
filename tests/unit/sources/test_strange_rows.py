"""What is broken or hostile in a row is said of that row."""

import gzip
import pickle
import zipfile
from pathlib import Path

import foreign
import h5py
import numpy as np
import pytest
from foreign import CLASSES, WIDTH, Image
from foreign_files import LAYOUTS

from interbert import __main__ as program
from interbert.sources.foreign_files import array_files, hdf5, text_files
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


def large_npy(folder: Path, made: list[Image]) -> Path:
    (inputs,) = LAYOUTS["mmf-npy"].write(folder, made)
    np.save(folder / f"{made[2].name}.npy", np.zeros((600, 300), np.float32))
    return inputs


def damaged_header(folder: Path, made: list[Image]) -> Path:
    """Which numpy reads as Python: its parser says more than that a value is wrong."""
    (inputs,) = LAYOUTS["mmf-npy"].write(folder, made)
    path = folder / f"{made[2].name}.npy"
    path.write_bytes(path.read_bytes().replace(b"), }", b"), }]", 1))
    return inputs


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
    damaged_header: "its header is damaged",
    large_npy: "720,128 bytes; 524,288 are the most of an image",
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
