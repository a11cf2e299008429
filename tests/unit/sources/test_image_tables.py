"""Images in the columns of tables: TSV, parquet, arrow."""

import base64
import sys
from pathlib import Path

import numpy as np
import pytest
from brought import opened, read_all
from picture_files import (
    drawn,
    encoded,
    needed_pyarrow,
    pictures,
    write_table,
)

from interbert.sources.images.containers.container import ImageError
from interbert.sources.record import ImportFault


def tsv(path: Path, rows: list[list[bytes]]) -> Path:
    path.write_bytes(b"".join(b"\t".join(row) + b"\n" for row in rows))
    return path


def test_columns_of_a_tsv(tmp_path):
    made = pictures(3)
    code = [base64.b64encode(one.data) for one in made]
    # Ids behind the image, as Python prints bytes, and without the padding.
    rows = [[b"b'" + one.rstrip(b"=") + b"'", b"%d.jpg" % n] for n, one in enumerate(code)]
    (container,) = opened(tsv(tmp_path / "a.tsv", rows), id="2")
    assert read_all([container]) == {str(n): (one.data, []) for n, one in enumerate(made)}
    # Ids that repeat are none.
    rows = [[b"same", one] for one in code]
    (container,) = opened(tsv(tmp_path / "b.tsv", rows))
    assert list(container.ids) == ["b/0", "b/1", "b/2"]
    assert container.told == ["images in column 2; ids from the lines' numbers; not read: column 1"]
    rows = [[b"a", code[0]], [b"b"], [b"c", b"*" * 40]]
    (container,) = opened(tsv(tmp_path / "c.tsv", rows))
    assert container.read(0).data == made[0].data and list(container.ids) == ["a", "c/1", "c"]
    for number, message in ((1, "1 columns, the first line has 2"), (2, "not base64")):
        with pytest.raises(ImageError, match=message):
            container.read(number)
    for fields, message in (({"id": "3"}, "no column 3 for --id-field; they are numbered 1 to 2"),):
        with pytest.raises(ImageError, match=message):
            opened(tmp_path / "c.tsv", **fields)
    with pytest.raises(ImageError, match="columns 1 and 2 hold images; say by --image-field"):
        opened(tsv(tmp_path / "d.tsv", [code[:2]]))


def test_columns_of_a_table(tmp_path):
    made = pictures(3)
    data = [one.data for one in made]
    paths = [f"d/{n}.jpg" for n in range(3)]
    path = write_table(
        tmp_path / "a.parquet", jpg=data, other=[b"x", b"y", b"z"], key=["same"] * 3,
        sentences=[[{"raw": "x", "id": 1}], [], [{"raw": "y", "id": 2}, {"raw": "z", "id": 3}]],
    )  # fmt: skip
    (container,) = opened(path)
    assert list(container.ids) == ["a/0", "a/1", "a/2"], "a key that repeats is no id"
    assert [container.read(n).data for n in range(3)] == data
    assert [container.read(n).captions for n in range(3)] == [["x"], [], ["y", "z"]]
    assert container.told == [
        "images in 'jpg'; ids from the rows' numbers; captions in 'sentences'; not read: other, key"
    ]
    image = [{"bytes": one, "path": where} for one, where in zip(data, paths, strict=True)]
    path = write_table(tmp_path / "b.parquet", image=image, alt=["p", "q", None])
    (container,) = opened(path, captions=("alt",))
    assert list(container.ids) == ["d/0", "d/1", "d/2"]
    assert [container.read(n).captions for n in range(3)] == [["p"], ["q"], []]
    path = write_table(tmp_path / "c.parquet", a=image, b=image, n=[1, 2, 3])
    with pytest.raises(ImageError, match="columns a and b hold images; say by --image-field"):
        opened(path)
    (container,) = opened(path, image="b", id="n")
    assert list(container.ids) == ["1", "2", "3"]
    path = write_table(
        tmp_path / "d.parquet", image=[{"bytes": data[0], "path": None}, {"bytes": None, "path": "x"}]
    )
    (container,) = opened(path)
    with pytest.raises(ImageError, match="no bytes of it, only the path 'x'"):
        container.read(1)
    assert container.read(0).data == data[0]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImportFault, match=r"not a whole table.*copy or download it again"):
        opened(path)


def test_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(20))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportFault, match=r"pip install pyarrow==\d"):
        opened(tmp_path / "a.parquet")


def test_rows_of_a_table_come_without_the_rest_of_their_group(tmp_path):
    """A row group may be larger than memory: of it, a page is held."""
    pyarrow = needed_pyarrow()
    rng = np.random.default_rng(0)
    data = [b"\xff\xd8\xff" + rng.bytes(2 << 20) for _ in range(40)]
    path, table = tmp_path / "a.parquet", pyarrow.table({"image": data})
    pyarrow.parquet.write_table(table, path, use_dictionary=False, write_batch_size=4)
    del data, table
    (container,) = opened(path)
    before = pyarrow.total_allocated_bytes()
    most = 0
    for number in range(40):
        assert len(container.read(number).data) == (2 << 20) + 3
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert most < 20 << 20, f"{most / 1e6:.0f} MB held of 84"


def test_what_datasets_keeps_beside_its_rows_is_not_read_again(tmp_path):
    for name in (
        "data-00000-of-00001.arrow",
        "cache-0123456789abcdef.arrow",
        "cache-0f_00000_of_00002.arrow",
    ):
        write_table(tmp_path / name, jpg=[encoded(drawn(8, 8))])
    (container,) = opened(tmp_path)
    assert container.path.name == "data-00000-of-00001.arrow"
    assert "2 other files below" in "\n".join(container.told)


def test_a_list_of_images_is_one_or_a_bad_row(tmp_path):
    data = encoded(drawn(8, 8))
    one = {"bytes": data, "path": None}
    path = write_table(tmp_path / "a.parquet", images=[[one], [one, one]], txt=["x", "y"])
    (container,) = opened(path)
    assert container.read(0).data == data and container.read(0).captions == ["x"]
    with pytest.raises(ImageError, match="a list of 2 images; one a row is expected"):
        container.read(1)
