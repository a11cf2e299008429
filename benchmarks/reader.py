"""Reading the features of random images: interbert's store against a memory copy and against how others keep them.

2048 wide, 10-36 regions, batches of 100 images, all from the page cache: what the format and the code cost, not the
disk. The copy takes the same bytes, of the same images in the same order, out of memory. Best of several rounds.
"""

import argparse
import base64
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import lmdb
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.corpus.corpus import Corpus
from interbert.store.store import StoreWriter

WIDTH, FEWEST, MOST, BATCH = 2048, 10, 36, 100
OURS, COPY = "interbert", "memory copy"


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        counts, features = make_features(arguments.images)
        readers, size = make_readers(Path(folder), counts, features)
        rounds = {name: [] for name in readers}
        for seed in range(arguments.rounds):
            order = np.random.default_rng(seed).permutation(arguments.images)
            batches = np.array_split(order, len(order) // BATCH)
            for name, read in readers.items():
                began = time.perf_counter()
                read(batches)
                rounds[name].append(time.perf_counter() - began)
    best = {name: min(seconds) for name, seconds in rounds.items()}
    rows = [
        [name, arguments.images / s, size / s / 1e9, best[COPY] / s, s / best[OURS]]
        for name, s in best.items()
    ]
    title = f"{arguments.images:,} images, {size / 1e9:.1f} GB as float16, random order"
    report.table(title, ["", "images/s", "GB/s", "of a copy", "interbert is faster by"], rows)
    report.write_json(arguments.json, {"images": arguments.images, "seconds": best, "bytes": size})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where the files are made for the while (the system's)")
    return parser.parse_args()


def make_features(images: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    counts = rng.integers(FEWEST, MOST + 1, images)
    features = rng.standard_normal((int(counts.sum()), WIDTH), dtype=np.float32).astype(np.float16)
    return counts, features


Reader = Callable[[list[np.ndarray]], None]


def make_readers(folder: Path, counts: np.ndarray, features: np.ndarray) -> tuple[dict[str, Reader], int]:
    starts = np.concatenate([[0], np.cumsum(counts)])
    most = MOST * (BATCH + 1)
    buffers = [np.zeros((most, WIDTH), np.float16) for _ in range(2)]

    def copy(batches: list[np.ndarray]) -> None:
        for batch in batches:
            place = 0
            for image in batch.tolist():
                rows = features[starts[image] : starts[image + 1]]
                buffers[0][place : place + len(rows)] = rows
                place += len(rows)

    corpus = Corpus([_store(folder / "ours.h5", starts, features)])

    def ours(batches: list[np.ndarray], buffer: np.ndarray = buffers[0]) -> None:
        for batch in batches:
            corpus.read(batch, counts[batch], buffer)

    def ours_in_two(batches: list[np.ndarray]) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(ours, (batches[0::2], batches[1::2]), buffers))

    dataset = h5py.File(_one_dataset(folder / "dataset.h5", features), "r")["features"]
    groups = h5py.File(_groups(folder / "groups.h5", starts, features), "r")
    environment = _lmdb(folder / "pickles.lmdb", starts, features)

    def by_h5py(batches: list[np.ndarray]) -> None:
        for batch in batches:
            [dataset[starts[image] : starts[image + 1]] for image in batch.tolist()]

    def by_group(batches: list[np.ndarray]) -> None:
        for batch in batches:
            [groups[str(image)]["features"][()] for image in batch.tolist()]

    def by_pickle(batches: list[np.ndarray]) -> None:
        with environment.begin() as transaction:
            for batch in batches:
                for image in batch.tolist():
                    item = pickle.loads(transaction.get(str(image).encode()))
                    raw = base64.b64decode(item["features"])
                    np.frombuffer(raw, np.float32).reshape(item["num_boxes"], WIDTH)

    readers = {
        COPY: copy,
        OURS: ours,
        "interbert, 2 threads": ours_in_two,
        "h5py, one dataset": by_h5py,
        "h5py, one group an image (VOLTA's)": by_group,
        "LMDB of pickle + base64 (ViLBERT's, InterBERT's)": by_pickle,
    }
    return readers, features.nbytes


def _store(path: Path, starts: np.ndarray, features: np.ndarray) -> Path:
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (len(features), 1))
    with StoreWriter(path, WIDTH) as store:
        images = len(starts) - 1
        ids = [str(image) for image in range(images)]
        store.add_images(ids, [(10, 10)] * images, np.diff(starts), boxes, features)
    return path


def _one_dataset(path: Path, features: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["features"] = features
    return path


def _groups(path: Path, starts: np.ndarray, features: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for image in range(len(starts) - 1):
            rows = features[starts[image] : starts[image + 1]]
            group = file.create_group(str(image))
            group["features"], group["boxes"] = rows.astype(np.float32), np.zeros((len(rows), 4), np.float32)
    return path


def _lmdb(path: Path, starts: np.ndarray, features: np.ndarray) -> lmdb.Environment:
    environment = lmdb.open(str(path), map_size=16 * features.nbytes)
    with environment.begin(write=True) as transaction:
        for image in range(len(starts) - 1):
            rows = features[starts[image] : starts[image + 1]].astype(np.float32)
            item = {"num_boxes": len(rows), "features": base64.b64encode(rows.tobytes())}
            transaction.put(str(image).encode(), pickle.dumps(item))
    return environment


if __name__ == "__main__":
    main()
