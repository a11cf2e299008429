"""A few images with captions in every container, written by the standard library and pyarrow as their makers do."""

import base64
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@dataclass(frozen=True)
class Made:
    name: str
    """With a folder, without an ending."""
    ending: str
    data: bytes
    size: tuple[int, int]
    captions: list[str]


def encoded(image: Image.Image, kind: str = "JPEG", **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def drawn(width: int, height: int, seed: int = 0) -> Image.Image:
    """Something that is smooth, as pictures are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def pictures(count: int = 7) -> list[Made]:
    made = []
    for number in range(count):
        size = (40 + 7 * number, 90 - 5 * number)
        kind, ending = (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"))[number % 3]
        captions = [f"picture {number}, größer", f"number {number}"][: number % 3]
        data = encoded(drawn(*size, number), kind)
        made.append(Made(f"part{number // 4}/{number:05d}", ending, data, size, captions))
    return made


def with_captions(made: list[Made]) -> Iterator[tuple[str, bytes]]:
    """Files of a tree: images, captions in .txt; a single one in .json too, as img2dataset writes it."""
    for one in made:
        yield f"{one.name}.{one.ending}", one.data
        if len(one.captions) > 1:
            yield f"{one.name}.txt", "\n".join(one.captions).encode()
        elif one.captions:
            yield f"{one.name}.txt", one.captions[0].encode()
            about = {"caption": one.captions[0], "width": one.size[0], "status": "success"}
            yield f"{one.name}.json", json.dumps(about).encode()


def write_folder(path: Path, made: list[Made]) -> list[Path]:
    for name, data in with_captions(made):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return [path]


def write_tar(path: Path, files: Iterator[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_tars(path: Path, made: list[Made]) -> list[Path]:
    path.mkdir()
    for shard, part in enumerate((made[:4], made[4:])):
        write_tar(path / f"{shard:05d}.tar", with_captions(part))
    return [path]


def write_zip(path: Path, made: list[Made]) -> list[Path]:
    archive_path = path.with_suffix(".zip")
    with zipfile.ZipFile(archive_path, "w") as archive:
        for number, (name, data) in enumerate(with_captions(made)):
            how = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.writestr(name, data, how)
        archive.writestr("__MACOSX/part0/._00000.jpg", b"of a Mac")
    return [archive_path]


def write_base64_tsv(path: Path, made: list[Made], url_safe: bool = False) -> list[Path]:
    """With a header where the alphabet is the common one. One caption a line, so the second is lost."""
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    lines = [] if url_safe else [b"image_id\timage\tcaption"]
    for one in made:
        text = one.captions[0].encode() if one.captions else b""
        lines.append(b"\t".join([one.name.encode(), encode(one.data), text]))
    table = path.with_suffix(".tsv")
    table.write_bytes(b"\n".join(lines) + b"\n")
    return [table]


def needed_pyarrow():
    """The package, with parquet; without it the test is skipped."""
    pytest.importorskip("pyarrow.parquet", reason="pyarrow is not here (pip install pyarrow)")
    return pytest.importorskip("pyarrow")


def write_table(path: Path, **columns: list) -> Path:
    pyarrow = needed_pyarrow()
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def image_table(made: list[Made]):
    """As `datasets` lays out features Image and Sequence(Value("string"))."""
    pyarrow = needed_pyarrow()
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema(
        [("image", image), ("caption", pyarrow.list_(pyarrow.string())), ("image_id", "string")]
    )
    features = {"image": {"_type": "Image"}, "image_id": {"dtype": "string", "_type": "Value"}}
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    rows = [
        {
            "image": {"bytes": one.data, "path": Path(f"{one.name}.{one.ending}").name},
            "caption": one.captions,
            "image_id": f"{one.name}.{one.ending}",
        }
        for one in made
    ]
    return pyarrow.Table.from_pylist(rows, schema)


def write_parquet(path: Path, made: list[Made]) -> list[Path]:
    table = image_table(made)
    pyarrow = needed_pyarrow()
    path.mkdir()
    for shard, rows in enumerate((table.slice(0, 4), table.slice(4))):
        pyarrow.parquet.write_table(rows, path / f"train-{shard:05d}-of-00002.parquet", row_group_size=3)
    return [path]


def write_arrow(path: Path, made: list[Made], stream: bool = True) -> list[Path]:
    """As `save_to_disk` does: streams; feather and others write files."""
    table = image_table(made)
    pyarrow = needed_pyarrow()
    path.mkdir()
    for shard, rows in enumerate((table.slice(0, 4), table.slice(4))):
        file = path / f"data-{shard:05d}-of-00002.arrow"
        opened = pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file
        with pyarrow.OSFile(str(file), "wb") as sink, opened(sink, table.schema) as writer:
            writer.write_table(rows, max_chunksize=2)
    (path / "state.json").write_text("{}")
    return [path]


WRITERS = {
    "folder": write_folder,
    "tars": write_tars,
    "zip": write_zip,
    "base64-tsv": write_base64_tsv,
    "url-safe-tsv": lambda path, made: write_base64_tsv(path, made, url_safe=True),
    "parquet": write_parquet,
    "arrow-streams": write_arrow,
    "arrow-files": lambda path, made: write_arrow(path, made, stream=False),
}
ONE_CAPTION = ("base64-tsv", "url-safe-tsv")
