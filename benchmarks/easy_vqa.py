"""Questions that nobody here wrote: easy-VQA's 48,000 about 5,000 images, as a store and examples to train on.

    pip install easy-vqa==1.0
    python benchmarks/easy_vqa.py
    deepspeed launch/finetune.py --recipe easy_vqa --deepspeed_config ds_configs/cpu.json
    python launch/evaluate.py --task classify --model runs/easy_vqa/export --data data/easy_vqa/images.h5 \\
        --examples data/easy_vqa/test.jsonl --output runs/easy_vqa/test

An image's regions are square patches of it, their colours as they are the features: nothing was trained on anything
else. A tenth of the training images is held out to look at while training. What can be had without looking is told.
"""

import argparse
import importlib.util
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.commands.output import output_path
from interbert.store.store import StoreWriter
from interbert.tasks.blind.blind import blind
from interbert.tokenizer import write_word_vocabulary

Read = Callable[[str], bytes]
"""A file of the package, by its name below easy_vqa/data."""
PARTS = {"train": "train", "val": "train", "test": "test"}
"""Which of the package's questions go where."""
HELD_OUT = 10
"""Of so many training images one."""


def main() -> None:
    arguments = parse_arguments()
    read = reader_of(arguments.package)
    folder = arguments.output.expanduser()
    files = {name: output_path(folder / name, arguments.overwrite) for name in ("images.h5", *_files())}
    lines = {part: examples_of(read, part) for part in PARTS}
    everything = [line for own in lines.values() for line in own]
    write_images(
        files["images.h5"], read, sorted({line["images"][0] for line in everything}), arguments.patch
    )
    for part, own in lines.items():
        files[f"{part}.jsonl"].write_text("".join(json.dumps(line) + "\n" for line in own))
        print(f"{files[f'{part}.jsonl']}: {len(own):,} questions")
    if not (folder / "tokenizer").exists():
        words = sorted({word for line in everything for word in _words_of(line["texts"][0])})
        write_word_vocabulary(words, folder / "tokenizer")
    found = blind("classify", lines["train"], lines["test"])
    rows = [[name, f"{100 * value:.1f} %"] for name, value in found.each.items()]
    report.table("the test questions answered without looking", ["", "accuracy"], rows)
    report.write_json(arguments.json, {"blind": found.as_json()})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    add = parser.add_argument
    add(
        "--package",
        type=Path,
        metavar="PATH",
        help="easy_vqa's folder, or its wheel (default: the installed one)",
    )
    add("--output", type=Path, default=Path("data/easy_vqa"), metavar="DIR", help="where all of it goes")
    add("--patch", type=int, default=8, help="side of a patch in pixels (8: 64 patches an image)")
    add("--overwrite", action="store_true", help="replace what is there")
    return parser.parse_args()


def reader_of(package: Path | None) -> Read:
    if package is None:
        found = importlib.util.find_spec("easy_vqa")
        if found is None:
            raise SystemExit(
                "easy_vqa is not installed: pip install easy-vqa==1.0, or give its wheel by --package"
            )
        package = Path(next(iter(found.submodule_search_locations)))
    if package.suffix == ".whl":
        archive = zipfile.ZipFile(package)
        return lambda name: archive.read(f"easy_vqa/data/{name}")
    return lambda name: (package / "data" / name).read_bytes()


def examples_of(read: Read, part: str) -> list[dict[str, Any]]:
    """A question of the package is a text, an answer and the number of an image."""
    source = PARTS[part]
    return [
        {
            "id": f"{source}-{number}",
            "images": [f"{source}-{image}"],
            "texts": [text],
            "label": answer,
            "type": "yes/no" if answer in ("yes", "no") else "shape or colour",
        }
        for number, (text, answer, image) in enumerate(json.loads(read(f"{source}/questions.json")))
        if part == "test" or (image % HELD_OUT == HELD_OUT - 1) == (part == "val")
    ]


def write_images(path: Path, read: Read, names: list[str], patch: int) -> None:
    """names: split-number."""
    with StoreWriter(path, 3 * patch * patch, source="easy-vqa 1.0, patches") as store:
        for name in names:
            split, _, number = name.partition("-")
            with Image.open(io.BytesIO(read(f"{split}/images/{number}.png"))) as image:
                pixels = np.asarray(image.convert("RGB"))
            store.add_image(name, pixels.shape[1], pixels.shape[0], *patches_of(pixels, patch))
    print(f"{path}: {len(names):,} images")


def patches_of(pixels_YX3: np.ndarray, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes float32 [R, 4] and features float16 [R, 3 patch²] of the patches, row by row; colours from -1 to 1."""
    rows, columns = (size // patch for size in pixels_YX3.shape[:2])
    if rows * patch != pixels_YX3.shape[0] or columns * patch != pixels_YX3.shape[1]:
        raise SystemExit(
            f"--patch {patch} does not divide images of {pixels_YX3.shape[1]} x {pixels_YX3.shape[0]}"
        )
    cut = pixels_YX3.reshape(rows, patch, columns, patch, 3).swapaxes(1, 2)
    features = (cut.reshape(rows * columns, -1) / 127.5 - 1).astype(np.float16)
    y, x = np.divmod(np.arange(rows * columns), columns)
    return (patch * np.stack([x, y, x + 1, y + 1], 1)).astype(np.float32), features


def _files() -> list[str]:
    return [f"{part}.jsonl" for part in PARTS]


def _words_of(text: str) -> list[str]:
    return text.lower().replace("?", " ? ").split()


if __name__ == "__main__":
    main()
