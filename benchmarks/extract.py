"""Images read, decoded and resized with an encoder that does nothing: what `extract` costs besides its model.

JPEGs are drawn here, with as many bytes a pixel as photographs have. Rates are told by the clock and by the
processor's own time; memory is the process's peak beyond where it began.
"""

import argparse
import io
import os
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks import report
from interbert.sources.images.containers.container import Fields
from interbert.sources.images.containers.recognise import open_containers
from interbert.sources.images.decode import Limits, Picture
from interbert.sources.images.encoder import Choice, Prepared, Regions
from interbert.sources.images.source import ImageSource

SIZES = {"640x480": (640, 480), "2000x1500": (2000, 1500)}
QUALITY = 90
_DIFFERENT = 8
"""Images that are drawn; the others are copies of them."""


class Nothing:
    """Takes images of a side, and gives the same for each."""

    class_names = None
    features_of = None

    def __init__(self, side: int, batch: int) -> None:
        self.side, self.choice = side, Choice(batch=batch)
        self._same = Regions(np.zeros((1, 4), np.float32), np.zeros((1, 8), np.float32), None)

    def wanted(self, width: int, height: int) -> tuple[int, int]:
        return self.side, self.side

    def prepare(self, picture: Picture) -> Prepared:
        small = picture.image.resize((self.side, self.side), Image.Resampling.BICUBIC)
        return Prepared(picture.size, {"pixels": torch.from_numpy(np.array(small))[None]})

    def regions(self, images: list[Prepared]) -> list[Regions]:
        return [self._same] * len(images)


def main() -> None:
    arguments = parse_arguments()
    rows, figures = [], {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        for name in arguments.sizes:
            drawn = [photograph(*SIZES[name], seed) for seed in range(_DIFFERENT)]
            for container in arguments.containers:
                path = write(Path(temporary) / f"{name}.{container}", drawn, arguments.images)
                for threads in arguments.threads:
                    wall, cpu, memory = measure(path, threads, arguments)
                    rows.append([f"{name}, {container}", threads, wall, cpu, memory])
                    figures[f"{name} {container} {threads}"] = {
                        "images_per_second": wall, "images_per_core_second": cpu, "megabytes": memory,
                    }  # fmt: skip
            print(f"{name}: {np.mean([len(one) for one in drawn]) / 1e3:.0f} kB an image", flush=True)
    report.table(
        f"Decoded and brought to {arguments.side} x {arguments.side}",
        ["", "threads", "images/s", "images/s a core", "peak MB"],
        rows,
    )
    report.write_json(arguments.json, figures)


def measure(path: Path, threads: int, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Images a second by the clock, and of processor time; MB that the peak rose by. The best of the repeats."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    best, began = (0.0, 0.0), peak()
    for _ in range(arguments.repeats):
        containers = open_containers([path], Fields())
        with ImageSource(containers, Nothing(arguments.side, 8), Limits(), threads) as source:
            wall, cpu = time.perf_counter(), time.process_time()
            for number in source.keys:
                source.read(number)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        best = max(best[0], arguments.images / wall), max(best[1], arguments.images / cpu)
    return *best, peak() - began


def peak() -> float:
    """MB that the process has held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def photograph(width: int, height: int, seed: int) -> bytes:
    """Light over large areas, objects, texture and a camera's noise: 2 bits a pixel at this quality."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((height, width, 3), np.float32)
    for cell, strength in ((width // 3, 0.55), (width // 12, 0.25), (24, 0.12), (6, 0.05)):
        coarse = rng.integers(0, 255, (height // cell + 2, width // cell + 2, 3), dtype=np.uint8)
        pixels += (
            np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)) * strength
        )
    pixels += rng.normal(0, 4.0, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def write(path: Path, drawn: list[bytes], images: int) -> Path:
    names = [f"{number:06d}.jpg" for number in range(images)]
    if path.suffix == ".folder":
        path.mkdir()
        for number, name in enumerate(names):
            (path / name).write_bytes(drawn[number % len(drawn)])
        return path
    with tarfile.open(path, "w") as archive:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = len(drawn[number % len(drawn)])
            archive.addfile(member, io.BytesIO(drawn[number % len(drawn)]))
    return path


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400, help="of each size (400)")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--containers", nargs="+", choices=("folder", "tar"), default=["folder", "tar"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, len(os.sched_getaffinity(0))])
    parser.add_argument("--side", type=int, default=224, help="of the encoder's input (224)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the images are written; else the system's")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
