"""Arrays of images as their writers leave them: npz, npy, HDF5 and tables; and what else regions are said to be."""

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from foreign import Image

KINDS = 4
"""Of attributes."""


def attributes(image: Image) -> np.ndarray:
    return (image.labels + 1) % KINDS


def attribute_confidence(image: Image) -> np.ndarray:
    return (image.confidence / 2).astype(np.float32)


def bottom_up_npz(folder: Path, made: list[Image]) -> list[Path]:
    for image in made:
        info = {
            "image_id": image.name, "image_h": 100, "image_w": 200, "num_boxes": len(image.boxes),
            "objects_id": image.labels, "objects_conf": image.confidence, "attrs_id": attributes(image),
            "attrs_conf": attribute_confidence(image),
        }  # fmt: skip
        told = {
            "num_bbox": len(image.boxes),
            "image_h": 100,
            "image_w": 200,
            "info": np.array(info, dtype=object),
        }
        np.savez_compressed(folder / f"{image.name}.npz", x=image.features, bbox=image.boxes, **told)
    return [folder]


def openvqa(folder: Path, made: list[Image]) -> list[Path]:
    (folder / "train").mkdir()
    for image in made:
        told = {"num_bbox": len(image.boxes), "image_h": 100, "image_w": 200}
        np.savez(folder / "train" / f"{image.name}.npz", x=image.features.T, bbox=image.boxes, **told)
    return [folder / "train"]


def mmf_npy(folder: Path, made: list[Image]) -> list[Path]:
    for image in made:
        info = {
            "bbox": image.boxes, "num_boxes": len(image.boxes), "objects": image.labels, "image_width": 200,
            "image_height": 100, "cls_prob": image.probs,
        }  # fmt: skip
        np.save(folder / f"{image.name}.npy", image.features)
        np.save(folder / f"{image.name}_info.npy", info)
    return [folder]


def mmf_frcnn(folder: Path, made: list[Image]) -> list[Path]:
    """MMF's port of LXMERT's detector: of each region the class and its probability; as many as were asked for are
    counted, however few there are; and all that was found, for pictures."""
    for image in made:
        info = {
            "bbox": image.boxes, "num_boxes": 100, "objects": image.labels, "cls_prob": image.confidence,
            "image_width": 200, "image_height": 100,
        }  # fmt: skip
        np.save(folder / f"{image.name}.npy", image.features)
        np.save(folder / f"{image.name}_info.npy", info)
        np.save(folder / f"{image.name}_full.npy", {"roi_features": "a tensor"})
    return [folder]


def mmf_vinvl(folder: Path, made: list[Image]) -> list[Path]:
    """MMF's extractor for VinVL: boxes are shares of the image and sides, and stand behind each feature as well."""
    for image in made:
        shares = image.boxes / np.array([200, 100, 200, 100], np.float32)
        geometry = np.concatenate([shares, shares[:, 2:] - shares[:, :2]], axis=1)
        kinds = np.stack([(attributes(image) + n) % KINDS for n in range(KINDS)], axis=1)
        scores = attribute_confidence(image)[:, None] / np.arange(1, KINDS + 1, dtype=np.float32)
        info = {
            "labels": image.labels, "scores": image.confidence, "box_features": image.features,
            "attr_labels": kinds, "attr_scores": scores, "bbox": geometry, "image_width": 200, "image_height": 100,
        }  # fmt: skip
        np.save(folder / f"{image.name}.npy", np.concatenate([image.features, geometry], axis=1))
        np.save(folder / f"{image.name}_info.npy", info)
    return [folder]


def multi_task_npy(folder: Path, made: list[Image]) -> list[Path]:
    for image in made:
        info = {
            "image_id": image.name, "features": image.features, "bbox": image.boxes, "num_boxes": len(image.boxes),
            "objects": image.labels, "image_width": 200, "image_height": 100, "cls_prob": image.confidence,
        }  # fmt: skip
        np.save(folder / f"{image.name}.npy", info)
    return [folder]


def cocobu(folder: Path, made: list[Image]) -> list[Path]:
    for name in ("cocobu_att", "cocobu_box", "cocobu_fc"):
        (folder / name).mkdir()
    for image in made:
        np.savez_compressed(folder / "cocobu_att" / f"{image.name}.npz", feat=image.features)
        np.save(folder / "cocobu_box" / f"{image.name}.npy", image.boxes / (200, 100, 200, 100))
        np.save(folder / "cocobu_fc" / f"{image.name}.npy", image.features.mean(0))
    return [folder]


def scan(folder: Path, made: list[Image]) -> list[Path]:
    np.save(folder / "dev_ims.npy", np.stack([image.features for image in made]))
    (folder / "dev_ids.txt").write_text("".join(f"{image.name}\n" * 5 for image in made))
    (folder / "dev_caps.txt").write_text("".join(f"{i.caption} {n}\n" for i in made for n in range(5)))
    return [folder / "dev_ims.npy"]


def butd(folder: Path, made: list[Image]) -> list[Path]:
    with h5py.File(folder / "train36.hdf5", "w") as file:
        boxes = np.stack([image.boxes for image in made])
        shares = boxes / np.array([200, 100, 200, 100], np.float32)
        file["image_features"] = np.stack([image.features for image in made])
        file["image_bb"] = boxes
        file["spatial_features"] = np.concatenate([shares, shares[..., 2:] - shares[..., :2]], axis=-1)
    ids = {int(image.name): number for number, image in enumerate(made)}
    (folder / "train36_imgid2idx.pkl").write_bytes(pickle.dumps(ids, protocol=2))
    return [folder / "train36.hdf5"]


def butd_adaptive(folder: Path, made: list[Image]) -> list[Path]:
    with h5py.File(folder / "train.hdf5", "w") as file:
        boxes = np.concatenate([image.boxes for image in made])
        ends = np.cumsum([0, *(len(image.boxes) for image in made)])
        file["pos_boxes"] = np.stack([ends[:-1], ends[1:]], axis=1)
        file["image_features"] = np.concatenate([image.features for image in made])
        file["image_bb"] = boxes
        file["spatial_features"] = boxes[:, [0, 1, 2, 3, 2, 3]] / np.array([200, 100] * 3, np.float32)
    ids = {image.name: number for number, image in enumerate(made)}
    (folder / "ids.pkl").write_bytes(pickle.dumps(ids))
    return [folder / "train.hdf5", folder / "ids.pkl"]


def table(made: list[Image]) -> Any:
    """As Hugging Face's script for LXMERT writes it: padded to five regions, boxes as shares of the image."""
    import pyarrow

    def padded(rows: np.ndarray) -> list:
        wide = np.zeros((5, *rows.shape[1:]), np.float32)
        wide[: len(rows)] = rows
        return wide.tolist()

    columns = {
        "img_id": ([int(image.name) for image in made], pyarrow.int32()),
        "boxes": (
            [padded(i.boxes / (200, 100, 200, 100)) for i in made],
            pyarrow.list_(pyarrow.list_(pyarrow.float32())),
        ),
        "roi_features": ([padded(i.features) for i in made], pyarrow.list_(pyarrow.list_(pyarrow.float32()))),
        "obj_ids": ([padded(image.labels) for image in made], pyarrow.list_(pyarrow.float32())),
        "obj_probs": ([padded(image.confidence) for image in made], pyarrow.list_(pyarrow.float32())),
        "attr_ids": ([padded(attributes(image)) for image in made], pyarrow.list_(pyarrow.float32())),
        "attr_probs": ([padded(attribute_confidence(i)) for i in made], pyarrow.list_(pyarrow.float32())),
        "sizes": ([[100.0, 200.0] for _ in made], pyarrow.list_(pyarrow.float32(), 2)),
        "preds_per_image": ([len(image.boxes) for image in made], pyarrow.int32()),
        "captions": ([[image.caption] for image in made], pyarrow.list_(pyarrow.string())),
    }
    arrays = [pyarrow.array(values, kind) for values, kind in columns.values()]
    return pyarrow.table(arrays, names=list(columns))


def parquet(folder: Path, made: list[Image]) -> list[Path]:
    from pyarrow import parquet

    (folder / "data").mkdir()
    parquet.write_table(table(made[:7]), folder / "data" / "train-00000-of-00002.parquet", row_group_size=3)
    parquet.write_table(table(made[7:]), folder / "data" / "train-00001-of-00002.parquet")
    return [folder / "data"]


def arrow(folder: Path, made: list[Image]) -> list[Path]:
    """As `save_to_disk` leaves it: a stream, and JSON beside it."""
    import pyarrow

    rows = table(made)
    with pyarrow.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), rows.schema) as writer:
        writer.write_table(rows, max_chunksize=4)
    (folder / "dataset_info.json").write_text("{}")
    return [folder]
