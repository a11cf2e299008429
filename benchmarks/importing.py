"""Importing features against copying the same file: what bringing a format in costs beside moving its bytes.

36 regions of 2048 float32 an image, a class distribution where the format has one. Each format's file is written,
read once into the page cache, copied (written through to the disk) and imported (the same), one after the other; best
of several rounds. One process, which reads in a second thread: base64 is told in MB of its text a second.
"""

import argparse
import base64
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import lmdb
import msgpack
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.mpi import World
from interbert.sources.captions.files import CaptionFiles
from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.formats import source_of
from interbert.sources.importing.driver import Wishes, import_rows

REGIONS, WIDTH, CLASSES = 36, 2048, 1601
SIZE = (640, 480)
_KINDS = 16
"""So many different images are made; a file repeats them."""


class Images:
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        corners = np.sort(rng.random((_KINDS, REGIONS, 2, 2)), axis=2) * SIZE
        self.boxes = corners.reshape(_KINDS, REGIONS, 4).astype(np.float32)
        self.features = np.maximum(rng.standard_normal((_KINDS, REGIONS, WIDTH)), 0).astype(np.float32)
        probs = rng.dirichlet(np.full(CLASSES, 0.05), (_KINDS, REGIONS)).astype(np.float32)
        order = np.argsort(-probs[..., 1:].max(axis=2), axis=1)[..., None]
        self.probs = np.take_along_axis(probs, order, axis=1)
        """By falling confidence, as detectors leave them."""


def main() -> None:
    arguments = parse_arguments()
    made, rows, figures = Images(), [], {}
    for name in arguments.formats:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            figure = measured(name, made, arguments, Path(folder))
        figures[name] = figure
        cells = [
            figure["bytes"] / 1e6,
            figure["copy"],
            figure["import"],
            figure["bytes"] / figure["import"] / 1e6,
        ]
        rows.append([name, *cells, figure["copy"] / figure["import"]])
        print(f"{name}: {figure}", flush=True)
    title = f"{arguments.images:,} images of {REGIONS} x {WIDTH}; base64: {', '.join(BASE64)}"
    report.table(title, ["", "MB", "copy s", "import s", "MB/s", "of a copy"], rows)
    report.write_json(arguments.json, {"images": arguments.images, "formats": figures})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--formats", nargs="+", default=list(WRITERS), choices=WRITERS)
    parser.add_argument("--folder", type=Path, help="where the files are made for the while (the system's)")
    return parser.parse_args()


def measured(name: str, made: Images, arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    inputs = WRITERS[name](folder, made, arguments.images)
    files = [file for path in inputs for file in ([path] if path.is_file() else sorted(path.rglob("*.*")))]
    files = [file for file in files if file.is_file() and file.name != "lock.mdb"]
    seconds = {"copy": [], "import": []}
    for _ in range(arguments.rounds):
        for kind, work in (("copy", copy), ("import", bring)):
            for file in files:
                shutil.copyfile(file, "/dev/null")
            os.sync()  # what others have written is not ours to wait for
            began = time.perf_counter()
            work(name, inputs, files, folder)
            seconds[kind].append(time.perf_counter() - began)
            shutil.rmtree(folder / "copy", ignore_errors=True)
            (folder / "ours.h5").unlink(missing_ok=True)
    return {"bytes": sum(file.stat().st_size for file in files)} | {
        kind: min(s) for kind, s in seconds.items()
    }


def copy(name: str, inputs: list[Path], files: list[Path], folder: Path) -> None:
    (folder / "copy").mkdir()
    for number, file in enumerate(files):
        target = folder / "copy" / str(number)
        shutil.copyfile(file, target)
        handle = os.open(target, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def bring(name: str, inputs: list[Path], files: list[Path], folder: Path) -> None:
    source = source_of(FORMAT.get(name, name))(inputs, Choices())
    wishes = Wishes(folder / "ours.h5", 1 << 50, CLASSES, "benchmark", read_ahead=True)
    import_rows(source, CaptionFiles(), wishes, World(0, 1), name)


def _text(array: np.ndarray) -> bytes:
    return base64.b64encode(array.tobytes())


def write_tsv(folder: Path, made: Images, images: int) -> list[Path]:
    parts = [
        [b"640", b"480", b"36", _text(made.boxes[k]), _text(made.features[k]), _text(made.probs[k])]
        for k in range(_KINDS)
    ]
    with open(folder / "a.tsv", "wb") as file:
        for image in range(images):
            file.write(b"\t".join([b"%d" % image, *parts[image % _KINDS]]) + b"\n")
    return [folder / "a.tsv"]


def _write_lmdb(path: Path, images: int, value: Callable[[int], bytes]) -> list[Path]:
    with lmdb.open(str(path), map_size=1 << 40) as environment:
        for start in range(0, images, 1000):
            with environment.begin(write=True) as transaction:
                for image in range(start, min(start + 1000, images)):
                    transaction.put(b"%08d" % image, value(image))
    return [path]


def write_pickles(folder: Path, made: Images, images: int) -> list[Path]:
    told = {"image_w": 640, "image_h": 480, "num_boxes": REGIONS}
    parts = [{"boxes": _text(made.boxes[k]), "features": _text(made.features[k])} for k in range(_KINDS)]
    return _write_lmdb(
        folder / "l", images, lambda i: pickle.dumps({"image_id": str(i), **told, **parts[i % _KINDS]})
    )


def write_tensorpack(folder: Path, made: Images, images: int) -> list[Path]:
    def packed(array: np.ndarray) -> dict:
        return {
            b"nd": True,
            b"type": "<f4",
            b"kind": b"",
            b"shape": list(array.shape),
            b"data": array.tobytes(),
        }

    parts = [[packed(a[k]) for a in (made.features, made.probs, made.boxes)] for k in range(_KINDS)]
    return _write_lmdb(
        folder / "l",
        images,
        lambda i: msgpack.packb(
            [*parts[i % _KINDS], REGIONS, 480, 640, str(i), "a caption"], use_bin_type=True
        ),
    )


def write_volta(folder: Path, made: Images, images: int) -> list[Path]:
    with h5py.File(folder / "a.h5", "w") as file:
        for image in range(images):
            group = file.create_group(str(image))
            group["features"], group["boxes"] = made.features[image % _KINDS], made.boxes[image % _KINDS]
            group["img_w"], group["img_h"] = SIZE
    return [folder / "a.h5"]


def write_butd(folder: Path, made: Images, images: int) -> list[Path]:
    with h5py.File(folder / "train36.hdf5", "w") as file:
        features = file.create_dataset("image_features", (images, REGIONS, WIDTH), np.float32)
        boxes = file.create_dataset("image_bb", (images, REGIONS, 4), np.float32)
        shares = file.create_dataset("spatial_features", (images, REGIONS, 6), np.float32)
        for image in range(images):
            box = made.boxes[image % _KINDS]
            features[image], boxes[image] = made.features[image % _KINDS], box
            shares[image] = box[:, [0, 1, 2, 3, 2, 3]] / np.array(SIZE * 3, np.float32)
    (folder / "train36_imgid2idx.pkl").write_bytes(pickle.dumps({image: image for image in range(images)}))
    return [folder / "train36.hdf5"]


def write_npy(folder: Path, made: Images, images: int) -> list[Path]:
    (folder / "npy").mkdir()
    for image in range(images):
        info = {
            "bbox": made.boxes[image % _KINDS],
            "num_boxes": REGIONS,
            "image_width": 640,
            "image_height": 480,
        }
        np.save(folder / "npy" / f"{image}.npy", made.features[image % _KINDS])
        np.save(folder / "npy" / f"{image}_info.npy", info)
    return [folder / "npy"]


def write_scan(folder: Path, made: Images, images: int) -> list[Path]:
    out = np.lib.format.open_memmap(folder / "a_ims.npy", "w+", np.float32, (images, REGIONS, WIDTH))
    for image in range(images):
        out[image] = made.features[image % _KINDS]
    out.flush()
    return [folder / "a_ims.npy"]


BASE64 = ("bottom-up-tsv", "vilbert-lmdb")
FORMAT = {"mmf-npy": "image-files"}
WRITERS = {
    "bottom-up-tsv": write_tsv,
    "vilbert-lmdb": write_pickles,
    "tensorpack-lmdb": write_tensorpack,
    "volta-h5": write_volta,
    "butd-h5": write_butd,
    "mmf-npy": write_npy,
    "scan-npy": write_scan,
}

if __name__ == "__main__":
    main()
