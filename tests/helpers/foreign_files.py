"""More formats of features, each written as the tools wrote it that made it, with the variations that lie about."""

import gzip
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from foreign import CLASSES, Image, b64, packed_array, write_lmdb
from foreign_arrays import (
    KINDS,
    arrow,
    attribute_confidence,
    attributes,
    bottom_up_npz,
    butd,
    butd_adaptive,
    cocobu,
    mmf_frcnn,
    mmf_npy,
    mmf_vinvl,
    multi_task_npy,
    openvqa,
    parquet,
    scan,
)

NAMES = [f"class {number}" for number in range(CLASSES)]


@dataclass(frozen=True)
class Layout:
    """What a writer leaves, and what is to arrive of it."""

    format: str
    write: Callable[[Path, list[Image]], list[Path]]
    """Into an empty folder; returns the inputs."""
    probs: bool = False
    labels: bool = False
    attributes: bool = False
    ordered_by: str | None = "confidence"
    sized: bool = True
    captions: bool = False
    regions_each: int | None = None
    numbers: bool = False
    """Whether ids are kept as numbers."""
    boxes: str = "given"
    """`shares`: reckoned from shares of the image; `whole`: there are none."""


def _lxmert(image: Image, kind: str = "<f4") -> list[bytes]:
    return [
        image.name.encode(), b"100", b"200", b64(image.labels.astype(np.int64)),
        b64(image.confidence.astype(kind)), b64(attributes(image).astype(np.int64)),
        b64(attribute_confidence(image).astype(kind)), b"%d" % len(image.boxes), b64(image.boxes.astype("<f4")),
        b64(image.features.astype(kind)),
    ]  # fmt: skip


def _volta(image: Image) -> list[bytes]:
    scores = np.eye(KINDS, dtype=np.float32)[attributes(image)]
    return [*_lxmert(image), b64(image.probs), b64(scores), b64(image.probs)]


def _lines(rows: list[list[bytes]]) -> bytes:
    return b"".join(b"\t".join(row) + b"\r\n" for row in rows)


def lxmert(folder: Path, made: list[Image]) -> list[Path]:
    """As Python 3 runs a program for Python 2: the cells are what bytes look like."""
    rows = [
        [cell if n in (1, 2, 7) else repr(cell).encode() for n, cell in enumerate(_lxmert(i))] for i in made
    ]
    (folder / "train_obj36.tsv").write_bytes(_lines(rows))
    return [folder / "train_obj36.tsv"]


def volta_tsv(folder: Path, made: list[Image]) -> list[Path]:
    with gzip.open(folder / "a.tsv.gz", "wb") as file:
        file.write(_lines([_volta(image) for image in made]))
    return [folder / "a.tsv.gz"]


def zipped_tsv(folder: Path, made: list[Image]) -> list[Path]:
    with zipfile.ZipFile(folder / "features.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for part in (0, 1):
            rows = [_volta(image) for image in made[part * 5 : len(made) if part else 5]]
            file.writestr(f"parts/train.tsv.{part}", _lines(rows))
    return [folder / "features.zip"]


def parts_of_tsv(folder: Path, made: list[Image]) -> list[Path]:
    for part in (0, 1):
        rows = [_volta(image) for image in made[part * 5 : len(made) if part else 5]]
        (folder / f"train_36.tsv.{part}").write_bytes(_lines(rows))
    (folder / "README.md").write_text("made by hand")
    return [folder]


def halves_tsv(folder: Path, made: list[Image]) -> list[Path]:
    (folder / "half.tsv").write_bytes(_lines([_lxmert(image, "<f2") for image in made]))
    return [folder / "half.tsv"]


def _items(made: list[Image], more: int = 0) -> list[dict]:
    items = []
    for image in made:
        grown = [np.concatenate([rows, rows[:1]]) if more else rows for rows in (image.boxes, image.features)]
        items.append(
            {
                "image_id": image.name, "image_h": 100, "image_w": 200, "num_boxes": str(len(image.boxes)),
                "boxes": b64(grown[0]).decode(), "features": b64(grown[1]).decode(),
            }
        )  # fmt: skip
    return items


def resumed_lmdb(folder: Path, made: list[Image]) -> list[Path]:
    """Extraction that was taken up again: keys twice; a region more than is counted."""
    records = {
        image.name.encode(): pickle.dumps(item) for image, item in zip(made, _items(made, 1), strict=True)
    }
    records[b"keys"] = pickle.dumps(
        [*(image.name.encode() for image in made), made[0].name.encode()], protocol=2
    )
    write_lmdb(folder / "l", records)
    return [folder / "l"]


def volta_lmdb(folder: Path, made: list[Image]) -> list[Path]:
    names = [
        "img_id",
        "img_h",
        "img_w",
        "objects_id",
        "objects_conf",
        "attrs_id",
        "attrs_conf",
        "num_boxes",
        "boxes",
    ]
    names += ["features", "cls_prob", "attrs", "classes"]
    rows = [dict(zip(names, (cell.decode() for cell in _volta(image)), strict=True)) for image in made]
    records = {
        str(int(image.name)).encode(): pickle.dumps(row) for image, row in zip(made, rows, strict=True)
    }
    write_lmdb(folder / "l", records | {b"keys": pickle.dumps(list(records))})
    return [folder / "l"]


def mmf_lmdb(folder: Path, made: list[Image]) -> list[Path]:
    """Arrays; probabilities without the background that they were reckoned with."""
    records = {}
    for image in made:
        item = {
            "feature_path": f"{image.name}.npy", "features": image.features, "image_height": 100, "image_width": 200,
            "num_boxes": len(image.boxes), "objects": image.labels, "cls_prob": image.probs[:, 1:],
            "bbox": image.boxes,
        }  # fmt: skip
        records[f"train/{image.name}".encode()] = pickle.dumps(item)
    write_lmdb(folder / "mmf.lmdb", records | {b"keys": pickle.dumps(list(records))})
    return [folder / "mmf.lmdb"]


def _tensorpack(
    folder: Path, made: list[Image], pack: Callable[[Any], bytes], value: Callable[[Image], Any]
) -> None:
    records = {b"%08d" % number: pack(value(image)) for number, image in enumerate(made)}
    write_lmdb(folder, records | {b"__keys__": pack(list(records))})


def _thirteen(image: Image) -> list:
    scores = np.eye(KINDS, dtype=np.float32)[attributes(image)]
    return [
        image.features[None], image.probs, image.labels, image.confidence, attributes(image),
        attribute_confidence(image), scores, image.boxes[None], len(image.boxes), 100, 200, image.name, image.caption,
    ]  # fmt: skip


def tensorpack_parts(folder: Path, made: list[Image]) -> list[Path]:
    for part in (0, 1):
        mine = made[part * 5 : len(made) if part else 5]
        _tensorpack(folder / f"training_feat_part_{part}.lmdb", mine, pickle.dumps, _thirteen)
    return sorted(folder.iterdir())


def tensorpack_dictionaries(folder: Path, made: list[Image]) -> list[Path]:
    def value(image: Image) -> dict:
        arrays = {"features": image.features, "boxes": image.boxes, "cls_prob": image.probs}
        told = {"img_id": image.name, "img_h": 100, "img_w": 200, "num_boxes": len(image.boxes)}
        return {name: packed_array(a) for name, a in arrays.items()} | told | {"caption": image.caption}

    _tensorpack(folder / "l", made, lambda item: msgpack.packb(item, use_bin_type=True), value)
    return [folder / "l"]


def _with_geometry(image: Image) -> np.ndarray:
    shares = image.boxes / np.array([200, 100, 200, 100], np.float32)
    return np.concatenate([image.features, shares, shares[:, 2:] - shares[:, :2]], axis=1).astype(np.float32)


def _objects(image: Image, feature: bool = False) -> list[dict]:
    found = []
    for n, box in enumerate(image.boxes.tolist()):
        kinds = [f"attribute {k}" for k in range(KINDS)]
        best = attributes(image)[n]
        scores = [float(attribute_confidence(image)[n]) / (1 if k == best else 3) for k in range(KINDS)]
        item = {"rect": box, "class": NAMES[image.labels[n]], "conf": float(image.confidence[n])}
        item |= {"attributes": kinds, "attr_scores": scores}
        found.append(item | ({"feature": b64(_with_geometry(image)[n]).decode()} if feature else {}))
    return found


def _vinvl(path: Path, rows: list[tuple]) -> None:
    lines = [
        "\t".join([str(cell) if isinstance(cell, str | int) else json.dumps(cell) for cell in row]) + "\n"
        for row in rows
    ]
    path.write_text("".join(lines))
    starts = np.cumsum([0, *map(len, lines)])[:-1]
    path.with_suffix(".lineidx").write_text("".join(f"{start}\n" for start in starts))


def vinvl(folder: Path, made: list[Image]) -> list[Path]:
    texts = [b64(_with_geometry(image)).decode() for image in made]
    _vinvl(
        folder / "features.tsv", [(i.name, len(i.boxes), text) for i, text in zip(made, texts, strict=True)]
    )
    sized = [
        {"image_h": 100, "image_w": 200, "num_boxes": len(i.boxes), "objects": _objects(i)} for i in made
    ]
    _vinvl(
        folder / "predictions.tsv",
        [(i.name, row) for i, row in reversed(list(zip(made, sized, strict=True)))],
    )
    return [folder / "features.tsv"]


def oscar(folder: Path, made: list[Image]) -> list[Path]:
    """Boxes from the geometry alone, sizes from a file beside."""
    rows = [{"num_boxes": len(i.boxes), "features": b64(_with_geometry(i)).decode()} for i in made]
    _vinvl(folder / "train.feature.tsv", [(i.name, row) for i, row in zip(made, rows, strict=True)])
    _vinvl(folder / "train.hw.tsv", [(i.name, [{"height": 100, "width": 200}]) for i in made])
    return [folder / "train.feature.tsv"]


def scene_graph(folder: Path, made: list[Image]) -> list[Path]:
    """Everything in the predictions."""
    rows = [(i.name, {"image_h": 100, "image_w": 200, "objects": _objects(i, feature=True)}) for i in made]
    _vinvl(folder / "predictions.tsv", rows)
    return [folder / "predictions.tsv"]


ALL = {"labels": True, "attributes": True}
LAYOUTS = {
    "lxmert-tsv": Layout("bottom-up-tsv", lxmert, **ALL),
    "volta-tsv-gz": Layout("bottom-up-tsv", volta_tsv, probs=True, attributes=True),
    "zipped-tsv": Layout("bottom-up-tsv", zipped_tsv, probs=True, attributes=True),
    "parts-of-tsv": Layout("bottom-up-tsv", parts_of_tsv, probs=True, attributes=True),
    "halves-tsv": Layout("bottom-up-tsv", halves_tsv, **ALL),
    "resumed-lmdb": Layout("vilbert-lmdb", resumed_lmdb, ordered_by=None),
    "volta-lmdb": Layout("vilbert-lmdb", volta_lmdb, probs=True, attributes=True),
    "mmf-lmdb": Layout("vilbert-lmdb", mmf_lmdb, probs=True, ordered_by="probs but the first"),
    "tensorpack-parts": Layout(
        "tensorpack-lmdb", tensorpack_parts, probs=True, attributes=True, captions=True
    ),
    "tensorpack-dict": Layout(
        "tensorpack-lmdb", tensorpack_dictionaries, probs=True, ordered_by="probs", captions=True
    ),
    "vinvl": Layout("vinvl-tsv", vinvl, **ALL),
    "oscar": Layout("vinvl-tsv", oscar, ordered_by=None, boxes="shares"),
    "scene-graph": Layout("vinvl-tsv", scene_graph, **ALL),
    "bottom-up-npz": Layout("image-files", bottom_up_npz, **ALL),
    "openvqa": Layout("image-files", openvqa, ordered_by=None),
    "mmf-npy": Layout("image-files", mmf_npy, probs=True, ordered_by="probs"),
    "mmf-frcnn": Layout("image-files", mmf_frcnn, labels=True),
    "mmf-vinvl": Layout("image-files", mmf_vinvl, boxes="shares", **ALL),
    "multi-task-npy": Layout("image-files", multi_task_npy, labels=True),
    "cocobu": Layout("image-files", cocobu, ordered_by=None, sized=False, boxes="shares"),
    "scan": Layout(
        "scan-npy", scan, ordered_by=None, sized=False, boxes="whole", captions=True, regions_each=4
    ),
    "butd": Layout("butd-h5", butd, ordered_by=None, numbers=True, regions_each=4),
    "butd-adaptive": Layout("butd-h5", butd_adaptive, ordered_by=None),
    "parquet": Layout("hf-table", parquet, boxes="shares", captions=True, numbers=True, **ALL),
    "arrow": Layout("hf-table", arrow, boxes="shares", captions=True, numbers=True, **ALL),
}
