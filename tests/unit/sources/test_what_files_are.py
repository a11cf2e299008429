"""What is no file of features is said to be what it is, and nothing shown moves a terminal."""

import base64
import io
import tarfile
import zipfile
from pathlib import Path

import foreign
import h5py
import pytest
from foreign_files import LAYOUTS
from picture_files import needed_pyarrow, write_table
from PIL import Image as Picture

from interbert import __main__ as program


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


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


def as_tsv(path: Path) -> Path:
    path.write_bytes(b"".join(b"%d\t%s\n" % (n, base64.b64encode(jpeg())) for n in range(2)))
    return path


def as_table(path: Path) -> Path:
    needed_pyarrow()
    file = path.with_suffix(".parquet")
    write_table(file, image=[{"bytes": jpeg(), "path": f"{n}.jpg"} for n in range(2)], text=["a", "b"])
    return file


@pytest.mark.parametrize("write", [as_file, as_folder, as_zip, as_tar, as_tsv, as_table])
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


def test_files_of_two_formats_are_not_one_import(tmp_path, capsys):
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(2))
    foreign.write_vilbert(tmp_path / "b.lmdb", foreign.images(2))
    bring("--input", tmp_path / "a.tsv", tmp_path / "b.lmdb", "--output", tmp_path / "a.h5", code=2)
    said = capsys.readouterr().err
    assert (
        "a.tsv is bottom-up-tsv" in said
        and "b.lmdb is vilbert-lmdb" in said
        and "one format at a time" in said
    )


def test_what_a_star_names_along_with_vinvls_rows(tmp_path, capsys):
    LAYOUTS["vinvl"].write(tmp_path, foreign.images(3))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4  # features and predictions, a .lineidx of each
    bring("--input", *files, "--output", tmp_path / "a.h5")
    (tmp_path / "features.tsv").unlink()
    bring("--input", tmp_path / "predictions.tsv", "--output", tmp_path / "b.h5", code=2)
    assert "objects without their features" in capsys.readouterr().err


def test_a_folder_of_files_that_are_to_be_named(tmp_path, capsys):
    for part in range(2):
        (tmp_path / "cc").mkdir(exist_ok=True)
        foreign.write_tensorpack(tmp_path / "cc" / f"training_feat_part_{part}.lmdb", foreign.images(2))
    told = f"key '00000000')): give what is in it, {tmp_path}/cc/*"
    bring("--input", tmp_path / "cc", "--output", tmp_path / "a.h5", code=2)
    assert told in capsys.readouterr().err
    bring("--explain", tmp_path / "cc", code=1)
    assert told in capsys.readouterr().out


def test_hdf5_of_names_that_are_no_text_is_told(tmp_path, capsys):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in (b"a", b"\xff\xfe"):
            file.create_group(name)
    bring("--input", tmp_path / "a.h5", "--output", tmp_path / "b.h5", code=2)
    assert "a.h5: HDF5 of a, b'" in capsys.readouterr().err
