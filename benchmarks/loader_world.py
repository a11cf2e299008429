"""What benchmarks of the host path load: random data, of the sizes of detector features, and their settings."""

from pathlib import Path
from typing import Any

import numpy as np

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.mining.negatives import CandidateTable
from interbert.recipe import load_recipe
from interbert.rng import Purpose, generator
from interbert.store.store import StoreWriter
from interbert.tokenizer import Tokenizer, load_tokenizer, write_word_vocabulary

WIDTH, CLASSES = 2048, 1601
REGIONS, WORDS = (10, 36), (6, 22)
CAPTIONS = 5
MICRO_BATCHES, TOKEN_BUDGET = 8, 3072
"""Of a step of one rank. A run settles them by its device and ranks; said here, figures of any two days compare."""
_VOCABULARY = 8000
_AT_A_TIME = 100


def open_world(folder: Path, images: int) -> tuple[Corpus, Tokenizer]:
    """The store in `folder`, written first where it is missing, and its tokenizer."""
    path = folder / f"random-{images}.h5"
    if not path.exists():
        _write(path, images)
    if not (folder / "tokenizer").exists():
        write_word_vocabulary(_words(), folder / "tokenizer")
    return Corpus([path]), load_tokenizer(folder / "tokenizer")


def load_settings(data: dict[str, Any], **sections: dict[str, Any]) -> Settings:
    """The recipe's, with a step that needs not be settled."""
    data = {"token_budget": TOKEN_BUDGET, **data}
    return load_recipe("interbert_base", data=data, train={"micro_batches": MICRO_BATCHES}, **sections)


def random_candidates(corpus: Corpus, top: int = 30) -> CandidateTable:
    """A table as a mined one would be, drawn from instead of mining it."""
    rng = generator(0, Purpose.BENCHMARK, 1)
    rows = rng.integers(0, corpus.captions, (corpus.captions, top), dtype=np.int32)
    own = corpus.caption_image[rows] == corpus.caption_image[: corpus.captions, None]
    return CandidateTable(np.where(own, (rows + CAPTIONS) % corpus.captions, rows).astype(np.int32), "", 0.5)


def _write(path: Path, images: int) -> None:
    rng = generator(0, Purpose.BENCHMARK)
    words = np.array(_words())
    # Which bytes they are does not matter to reading: rows are taken from one random block again and again.
    features = rng.standard_normal((8192, WIDTH), dtype=np.float32).astype(np.float16)
    probs = np.exp(rng.standard_normal((8192, CLASSES), dtype=np.float32) * 2)
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float16)
    with StoreWriter(path, WIDTH, classes=CLASSES, evidence="class_probs", source="random") as store:
        for first in range(0, images, _AT_A_TIME):
            number = min(_AT_A_TIME, images - first)
            counts = rng.integers(REGIONS[0], REGIONS[1] + 1, number)
            rows = rng.integers(0, 8192 - counts.sum()) + np.arange(counts.sum())
            ids = [f"image-{first + i}" for i in range(number)]
            sizes = np.full((number, 2), (640, 480))
            store.add_images(ids, sizes, counts, _boxes(rng, len(rows)), features[rows], probs[rows])
            for image in range(first, first + number):
                lengths = rng.integers(WORDS[0], WORDS[1] + 1, CAPTIONS)
                store.add_captions(image, [" ".join(words[rng.integers(0, len(words), n)]) for n in lengths])


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """A quarter to half of the image's sides each, so that some overlap."""
    corner = rng.random((count, 2)) * (320, 240)
    return np.concatenate([corner, corner + (1 + rng.random((count, 2))) * (160, 120)], axis=1).astype(
        np.float32
    )


def _words() -> list[str]:
    return ["".join(chr(97 + (n // 26**k + 7 * k) % 26) for k in range(5)) for n in range(_VOCABULARY)]
