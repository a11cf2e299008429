"""The same few images in every foreign format, written as the tools that made those formats wrote them."""

import base64
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import h5py
import lmdb
import msgpack
import numpy as np

WIDTH, CLASSES = 8, 5


@dataclass
class Image:
    name: str
    width: int
    height: int
    boxes: np.ndarray
    features: np.ndarray
    probs: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    caption: str


def images(count: int = 12, regions_each: int | None = None) -> list[Image]:
    rng = np.random.default_rng(7)
    made = []
    for number in range(count):
        regions = int(rng.integers(2, 6)) if regions_each is None else regions_each
        corners = np.sort(rng.random((regions, 2, 2)), axis=1) * (200, 100)
        made.append(
            Image(
                f"{number + 17:06d}", 200, 100, corners.reshape(regions, 4).astype(np.float32),
                rng.standard_normal((regions, WIDTH)).astype(np.float32),
                rng.dirichlet(np.ones(CLASSES), regions).astype(np.float32),
                rng.integers(0, CLASSES, regions), rng.random(regions).astype(np.float32),
                f"a caption of number {number}",
            )
        )  # fmt: skip
    return made


def b64(array: np.ndarray) -> bytes:
    return base64.b64encode(np.ascontiguousarray(array).tobytes())


def write_tsv(path: Path, made: list[Image], header: bool = False, kind: str = "plain") -> None:
    columns = ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
    columns += {"plain": [], "probs": ["cls_prob"], "labels": ["objects_id", "objects_conf"]}[kind]
    lines = ["\t".join(columns).encode()] if header else []
    for image in made:
        cells = [image.name.encode(), b"200", b"100", str(len(image.boxes)).encode()]
        cells += [b64(image.boxes), b64(image.features)]
        if kind == "probs":
            cells += [b64(image.probs)]
        elif kind == "labels":
            cells += [b64(image.labels.astype(np.int64)), b64(image.confidence)]
        lines.append(b"\t".join(cells))
    path.write_bytes(b"\n".join(lines) + b"\n")


def write_lmdb(folder: Path, records: dict[bytes, bytes]) -> None:
    environment = lmdb.open(str(folder), map_size=1 << 26)
    with environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    environment.close()


def write_vilbert(folder: Path, made: list[Image]) -> None:
    records = {
        image.name.encode(): pickle.dumps(
            {
                "image_id": image.name, "image_h": "100", "image_w": "200", "num_boxes": str(len(image.boxes)),
                "boxes": b64(image.boxes), "features": b64(image.features),
            }
        )
        for image in made
    }  # fmt: skip
    records[b"keys"] = pickle.dumps([image.name.encode() for image in made])
    write_lmdb(folder, records)


def packed_array(array: np.ndarray) -> dict:
    return {
        b"nd": True, b"type": array.dtype.str, b"kind": b"", b"shape": list(array.shape), b"data": array.tobytes()
    }  # fmt: skip


def write_tensorpack(folder: Path, made: list[Image]) -> None:
    records, keys = {}, []
    for number, image in enumerate(made):
        keys.append(f"{number:08d}".encode())
        value = [
            packed_array(image.features), packed_array(image.probs), packed_array(image.boxes), len(image.boxes),
            100, 200, image.name, image.caption,
        ]  # fmt: skip
        records[keys[-1]] = msgpack.packb(value, use_bin_type=True)
    records[b"__keys__"] = msgpack.packb(keys, use_bin_type=True)
    write_lmdb(folder, records)


def write_volta(path: Path, made: list[Image]) -> None:
    with h5py.File(path, "w") as file:
        for image in made:
            group = file.create_group(image.name)
            group["features"], group["boxes"] = image.features, image.boxes
            group["obj_id"], group["obj_conf"] = image.labels, image.confidence
            group["attr_id"], group["attr_conf"] = image.labels, image.confidence
            group["img_w"], group["img_h"] = 200, 100


def uniter_arrays(image: Image) -> dict[str, np.ndarray]:
    shares = image.boxes / (200, 100, 200, 100)
    sides = shares[:, 2:] - shares[:, :2]
    return {
        "features": image.features.astype(np.float16),
        "norm_bb": np.concatenate([shares, sides], axis=1).astype(np.float16),
        "conf": image.confidence.astype(np.float16),
        "soft_labels": image.probs.astype(np.float16),
    }


def write_npz(folder: Path, made: list[Image]) -> None:
    folder.mkdir()
    for image in made:
        np.savez_compressed(folder / f"{image.name}.npz", **uniter_arrays(image))


def write_uniter_lmdb(folder: Path, made: list[Image]) -> None:
    """Half of the records compressed, as different versions of the tool leave them."""
    import io

    records = {}
    for number, image in enumerate(made):
        if number % 2:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **uniter_arrays(image), allow_pickle=np.array(True))
            value = buffer.getvalue()
        else:
            arrays = {name: packed_array(array) for name, array in uniter_arrays(image).items()}
            value = msgpack.packb(arrays, use_bin_type=True)
        records[f"{image.name}.npz".encode()] = value
    records[b"__keys__"] = json.dumps([f"{image.name}.npz" for image in made]).encode()
    write_lmdb(folder, records)
