"""Pictures out of archives, their features once, and from these a store for each split and language."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.real_pairs.pairs import (
    LANGUAGES,
    SPLITS,
    TESTS,
    Pair,
    Picture,
    PicturesError,
    on_white,
    split,
)
from interbert.__main__ import main as run_verb
from interbert.corpus.corpus import Corpus
from interbert.store.writer import StoreWriter

GRID = 4
"""Cells a side."""
BAD = 20
"""Most pictures that may be no images; of more something else is wrong."""


def write_pictures(pictures: Iterable[Picture], folder: Path) -> set[str]:
    """The names of those that were written as PNGs below the folder; what is no image is told and left out."""
    found, bad = set(), []
    for picture in pictures:
        target = folder / f"{picture.image}.png"
        try:
            data = on_white(picture.data)
        except (OSError, ValueError, SyntaxError) as error:
            bad.append(f"{picture.image}: not a readable image ({error})")
            if len(bad) > BAD:
                raise PicturesError("\n".join([*bad, f"more than {BAD} pictures are none"])) from None
            continue
        if not target.is_file() or target.stat().st_size != len(data):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        found.add(picture.image)
    print("\n".join([f"{len(found):,} pictures", *(f"  left out: {one}" for one in bad)]), flush=True)
    return found


def extract(pictures: Path, output: Path, encoder: str, packages: list[Path], grid: int) -> None:
    """By the command that anybody would type; it goes on where it was cut. packages: folders to import from."""
    if output.is_file():
        return
    words = ["extract", "--images", str(pictures), "--encoder", encoder, "--grid", str(grid)]
    sys.path[:0] = map(str, packages)
    if run_verb([*words, "--output", str(output), "--batch", "8"]):
        raise PicturesError(f"{pictures}: no features were made of these")


def write_stores(features: Path, pairs: list[Pair], folder: Path) -> None:
    """folder/LANGUAGE/SPLIT.h5, whose first caption of each image is the one that it is asked for by."""
    with Corpus([features]) as corpus:
        image_of = {name: number for number, name in enumerate(corpus.image_ids())}
        if not {pair.image for pair in pairs} <= image_of.keys():
            raise PicturesError(
                f"{features} is of other pictures than these: remove it, or take another --folder"
            )
        for language in LANGUAGES:
            for name in SPLITS:
                own = [pair for pair in pairs if pair.split == name and language in pair.texts]
                if not own:  # no stamps
                    continue
                _write(folder / language / f"{name}.h5", corpus, image_of, own, language)


def _write(path: Path, corpus: Corpus, image_of: dict[str, int], pairs: list[Pair], language: str) -> None:
    path.unlink(missing_ok=True)
    source = f"real pairs, {language}, {path.stem}"
    with StoreWriter(path, corpus.feature_width, source=source, features_of=corpus.features_of) as store:
        for pair in pairs:
            image = image_of[pair.image]
            features_RD, boxes_R4 = corpus.read([image], corpus.region_counts[[image]])
            number = store.add_image(pair.image, *corpus.sizes[image].tolist(), boxes_R4, features_RD)
            # In a test an image has one caption, which is true of it alone.
            texts = pair.texts[language][: 1 if path.stem in TESTS else None]
            store.add_captions(number, texts, [1, 0, 0][: len(texts)])
    print(f"  {path}: {store.images:,} images, {store.captions:,} captions", flush=True)


def prepare(
    pictures: Callable[[int | None], Iterable[Picture]],
    folder: Path,
    packages: list[Path],
    encoder: str,
    grid: int = GRID,
    limit: int | None = None,
) -> None:
    """Everything that runs are trained and judged on, below the folder. What is there is not made again."""
    done = folder / "pairs.json"
    if done.is_file():
        return _refuse_another(done, limit)
    kept = {picture.image: picture for picture in pictures(limit)}
    pairs = split([(name, picture.said) for name, picture in kept.items()])
    written = write_pictures([kept[pair.image] for pair in pairs], folder / "pictures")
    pairs = [pair for pair in pairs if pair.image in written]
    extract(folder / "pictures", folder / "features.h5", encoder, packages, grid)
    write_stores(folder / "features.h5", pairs, folder)
    counts = {name: sum(pair.split == name for pair in pairs) for name in SPLITS}
    done.write_text(json.dumps({"limit": limit, "pictures": len(kept), "pairs": counts}, indent=2) + "\n")


def _refuse_another(done: Path, limit: int | None) -> None:
    made = json.loads(done.read_text())["limit"]
    if made != limit:
        raise PicturesError(
            f"{done.parent} was made {f'with --limit {made}' if made else 'of all pictures'}: take another --folder"
        )
