import io
import os
import tarfile
import zipfile

import picture_files
import pytest
from brought import opened, read_all
from picture_files import (
    ONE_CAPTION,
    WRITERS,
    drawn,
    encoded,
    pictures,
    write_tar,
)

from interbert.sources.images.containers.container import ImageError
from interbert.sources.images.containers.names import Names
from interbert.sources.record import ImportFault


@pytest.mark.parametrize("kind", WRITERS)
def test_every_container_is_read_back_exactly(kind, tmp_path):
    made = pictures()
    paths = WRITERS[kind](tmp_path / "theirs", made)
    fields = {"captions": ("3",)} if kind == "url-safe-tsv" else {}
    most = 1 if kind in ONE_CAPTION else 9
    containers = opened(*paths, **fields)
    expected = {one.name: (one.data, one.captions[:most]) for one in made}
    assert read_all(containers) == expected
    assert {name for container in containers for name in container.ids} == set(expected)
    for container in containers:  # in any order, and again
        for number in (len(container.ids) - 1, 0, 1, 0):
            assert container.read(number).data == expected[container.ids[number]][0]
        assert str(container.path) in container.where(1)
        container.close()


@pytest.mark.parametrize("kind", WRITERS)
def test_a_stamp_changes_with_its_container(kind, tmp_path):
    paths = WRITERS[kind](tmp_path / "theirs", pictures())
    before = [one.stamp for one in opened(*paths)]
    assert [one.stamp for one in opened(*paths)] == before
    file = next(path for path in [*sorted(paths[0].rglob("*.[!s]*")), *paths] if path.is_file())
    os.utime(file, ns=(1, 1))
    assert [one.stamp for one in opened(*paths)] != before


def test_names_in_few_bytes():
    names = Names(["a", "", "grüße", "\udcff"])
    assert list(names) == ["a", "", "grüße", "\udcff"] and len(names) == 4
    assert names[2] == "grüße"
    with pytest.raises(IndexError):
        names[4]


def test_what_is_told_of_a_folder(tmp_path):
    folder = tmp_path / "photos"
    (folder / ".trash").mkdir(parents=True)
    image = encoded(drawn(8, 8))
    for name in ("a.jpg", "a.png", "b.JPG", "._b.jpg", ".trash/c.jpg", "d.txt"):
        (folder / name).write_bytes(image)
    (folder / "a.txt").write_text("two files of one picture")
    (folder / "link").symlink_to(tmp_path)
    (container,) = opened(folder)
    assert list(container.ids) == ["a.jpg", "a.png", "b"]
    assert [container.read(n).captions for n in range(3)] == [["two files of one picture"]] * 2 + [[]]
    told = "\n".join(container.told)
    for words in (
        "2 hidden images are left out", "1 names have several images, such as a.jpg and a.png",
        "1 .txt and .json files are beside no image", "captions beside 2 of 3 images",
        "1 links to folders, such as link, are not followed",
    ):  # fmt: skip
        assert words in told


def test_captions_of_a_key_with_several_endings(tmp_path):
    image = encoded(drawn(8, 8))
    files = [("7.input.jpg", image), ("7.mask.png", image), ("7.txt", b"seven"), ("2021.05.a.jpg", image)]
    files += [("2021.06.b.jpg", image), ("2021.txt", b"a year"), ("8.input.jpg", image), ("8.cls", b"3")]
    files += [("8.txt", b"eight")]
    write_tar(tmp_path / "a.tar", iter(files))
    everything = read_all(opened(tmp_path / "a.tar"))
    assert everything["8.input"][1] == ["eight"]
    assert everything["7.input"][1] == [] and everything["2021.05.a"][1] == [], (
        "of which of them it is, nothing tells"
    )
    inputs = read_all(opened(tmp_path / "a.tar", image="input.jpg"))
    assert {name: captions for name, (_, captions) in inputs.items()} == {"7": ["seven"], "8": ["eight"]}


BESIDE = [
    ("a.json", b'{"captions": ["x", "  y  z "]}', ["x", "y z"]),
    ("a.json", b'[{"raw": "x"}, {"caption": "y"}]', ["x", "y"]),
    ("a.json", b'{"sentences": [{"raw": "x", "tokens": ["x"]}]}', ["x"]),
    ("a.json", b'{"objects": [1]}', []),
    ("a.json", b'{"caption": null}', []),
    ("a.txt", b"\xef\xbb\xbfone\r\n\r\ntwo\r\n", ["one", "two"]),
    ("a.txt", b"0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.2 0.2\n", "numbers and nothing else.*--ignore-beside"),
    ("a.txt", b"caf\xe9", "a.txt: not UTF-8"),
    ("a.json", b'{"caption": ', "a.json: not JSON"),
    ("a.json", b'{"caption": 7}', "a.json, caption: '7' is no caption"),
    ("a.txt", b"x" * (1 << 20) + b"y", "1,048,577 bytes beside an image are no captions"),
]


@pytest.mark.parametrize(("name", "data", "expected"), BESIDE)
@pytest.mark.parametrize("packed", ["folder", "tar", "zip"])
def test_captions_beside_an_image(name, data, expected, packed, tmp_path):
    files = [("a.jpg", encoded(drawn(8, 8))), (name, data)]
    path = tmp_path / f"it.{packed}"
    if packed == "folder":
        path.mkdir()
        for one, content in files:
            (path / one).write_bytes(content)
    elif packed == "tar":
        write_tar(path, iter(files))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for one, content in files:
                archive.writestr(one, content)
    (container,) = opened(path)
    if isinstance(expected, list):
        assert container.read(0).captions == expected
    else:
        with pytest.raises(ImageError, match=expected):
            container.read(0)
    (container,) = opened(path, beside=False)
    assert container.read(0).captions == []


def test_files_that_a_shell_names(tmp_path):
    picture_files.write_folder(tmp_path / "p", pictures(5))
    paths = sorted((tmp_path / "p").rglob("*.jpg"))
    (container,) = opened(*paths)
    assert len(container.ids) == 2 and list(container.ids) == ["00000", "00003"]
    assert container.read(0).captions == pictures(5)[0].captions


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tar.gz", b"\x1f\x8b\x08" + bytes(30), "packed by gzip as a whole.*unpack it first"),
        ("a.jsonl", b'{"a": 1}\n', "neither an image, a tar, a zip"),
        ("a.tar", b"no tar at all" * 100, "not a whole tar"),
        ("a.zip", b"PK\x03\x04" + bytes(50), "not a whole zip"),
        ("a.tsv", b"1\tcat\n2\tdog\n", "no column holds images.*--image-field"),
        ("a.tsv", b"", "empty; no image there"),
    ],
)
def test_what_is_no_container(name, data, message, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=message):
        opened(tmp_path / name)


def test_a_zip_that_lies(tmp_path):
    data = encoded(drawn(64, 64), "BMP")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", data)
    raw = (tmp_path / "a.zip").read_bytes()
    place = raw.rindex(b"PK\x01\x02") + 24  # bytes unpacked, in the list of files
    lie = raw[:place] + (100).to_bytes(4, "little") + raw[place + 4 :]
    (tmp_path / "a.zip").write_bytes(lie)
    (container,) = opened(tmp_path / "a.zip")
    with pytest.raises(ImageError, match="its size or CRC is another"):
        container.read(0)
    middle = raw.index(b"a.bmp") + 40
    (tmp_path / "a.zip").write_bytes(raw[:middle] + bytes([raw[middle] ^ 255]) + raw[middle + 1 :])
    (container,) = opened(tmp_path / "a.zip")
    with pytest.raises(Exception, match=r"CRC|decompress"):
        container.read(0)


def test_an_encrypted_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", b"x")
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(ImageError, match="encrypted; unzip it with its password"):
        opened(tmp_path / "a.zip")


def test_a_tar_that_was_cut(tmp_path):
    picture_files.write_tars(tmp_path / "t", pictures())
    path = tmp_path / "t" / "00000.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ImageError, match=r"not a whole tar.*copy or download it again"):
        opened(path)


def test_of_a_name_that_comes_twice_the_last_counts(tmp_path):
    first, second = encoded(drawn(8, 8)), encoded(drawn(9, 9))
    write_tar(tmp_path / "a.tar", iter([("./x.jpg", first), ("x.jpg", second)]))
    assert read_all(opened(tmp_path / "a.tar")) == {"x": (second, [])}
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.extractfile("x.jpg").read() == second


def test_splits_are_not_mixed_unnoticed(tmp_path):
    made = pictures()
    for name in ("train-00000.tar", "data_test_0.tar"):
        write_tar(tmp_path / name, picture_files.with_captions(made))
    with pytest.raises(ImportFault, match=r"holds several splits: .*train-00000.tar"):
        opened(tmp_path)
    assert len(opened(tmp_path / "train-00000.tar")) == 1


def test_archives_beside_images_are_told(tmp_path):
    picture_files.write_folder(tmp_path, pictures())
    write_tar(tmp_path / "more.tar", picture_files.with_captions(pictures()))
    (container,) = opened(tmp_path)
    assert "1 archives and tables, such as more.tar, are left alone" in "\n".join(container.told)


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_what_is_not_read_is_told_whatever_it_is_in(kind, tmp_path):
    image = encoded(drawn(8, 8))
    names = ["a.jpg", "a.png", ".b.jpg", "c.HEIC", "d.heic", "e.mp4", "f.jfif", "7.cls"]
    (tmp_path / "in").mkdir()
    if kind == "tar":
        write_tar(tmp_path / "in" / "a.tar", ((name, image) for name in names))
    elif kind == "zip":
        with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
            for name in names:
                archive.writestr(name, image)
    else:
        for name in names:
            (tmp_path / "in" / name).write_bytes(image)
    (container,) = opened(tmp_path / "in", id="name")
    assert list(container.ids) == ["a.jpg", "a.png", "f"]
    told = "\n".join(container.told)
    for words in (
        "1 hidden images are left out", "1 names have several images, such as a.jpg and a.png",
        "4 files of other kinds are not read (.heic 2, ", "--id-field is for tables",
    ):  # fmt: skip
        assert words in told


def test_a_folder_of_archives_is_that_whatever_lies_beside_them(tmp_path):
    write_tar(tmp_path / "a.tar", picture_files.with_captions(pictures()))
    for name in (".cover.jpg", "b.tar.gz", "README.md", ".c.tar"):
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "link").symlink_to(tmp_path)
    (container,) = opened(tmp_path)
    assert container.path.name == "a.tar"
    told = "\n".join(container.told)
    assert "4 other files below" in told and "1 links to folders, such as link, are not followed" in told
    (tmp_path / "a.tar").unlink()
    with pytest.raises(ImageError, match=r"no image there; .*; there are .md 1, .gz 1 \(2 hidden"):
        opened(tmp_path)


def test_the_tables_that_img2dataset_lays_beside_its_tars_are_left_alone(tmp_path):
    for number in range(2):
        write_tar(tmp_path / f"{number:05d}.tar", picture_files.with_captions(pictures()))
        (tmp_path / f"{number:05d}.parquet").write_bytes(b"PAR1")
        (tmp_path / f"{number:05d}_stats.json").write_text("{}")
    containers = opened(tmp_path)
    assert [one.path.name for one in containers] == ["00000.tar", "00001.tar"]
    assert "4 other files below" in "\n".join(containers[0].told)


def test_a_listing_does_not_hold_files_open(tmp_path):
    made = pictures(1)
    for number in range(30):
        write_tar(tmp_path / f"{number:03d}.tar", picture_files.with_captions(made))
    before = len(os.listdir("/proc/self/fd"))
    containers = opened(tmp_path)
    assert len(containers) == 30 and all(one.read(0).data == made[0].data for one in containers)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_links_in_a_tar_are_what_they_lead_to(tmp_path):
    image = encoded(drawn(8, 8))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind, target in (
            ("d/a.jpg", tarfile.REGTYPE, ""), ("b.jpg", tarfile.LNKTYPE, "d/a.jpg"),
            ("d/c.jpg", tarfile.SYMTYPE, "a.jpg"), ("e.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, 0 if target else len(image)
            archive.addfile(member, None if target else io.BytesIO(image))
    containers = opened(tmp_path / "a.tar")
    assert read_all(containers) == dict.fromkeys(("b", "d/a", "d/c"), (image, []))
    assert "1 links to files that are not in it, such as e.jpg, are left out" in containers[0].told


@pytest.mark.parametrize(("name", "remedy"), [("a.heic", "convert them to JPEG"), ("a.zip", "unpack them")])
def test_what_to_do_with_files_that_are_no_images_yet(name, remedy, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(ImageError, match=rf"there are \.\w+ 1: {remedy}"):
        opened(tmp_path / "all.zip")
