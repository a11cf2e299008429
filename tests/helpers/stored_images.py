"""What is in stores, as plain values by image."""

from pathlib import Path

import numpy as np

from interbert.corpus.corpus import Corpus


def stored(path: Path) -> dict[str, dict]:
    """What a store, or a folder of them, holds of each image."""
    found = {}
    with Corpus([path]) as corpus:
        for image in range(corpus.images):
            count = corpus.region_counts[[image]]
            features, boxes = corpus.read(np.array([image]), count)
            probs, labels = corpus.read_evidence(np.full(count[0], image), np.arange(count[0]))
            mine = np.flatnonzero(corpus.caption_image == image)
            found[corpus.image_id(image)] = {
                "features": features, "boxes": boxes, "probs": probs, "labels": labels,
                "size": tuple(corpus.sizes[image].tolist()), "captions": [corpus.caption_text(c) for c in mine],
            }  # fmt: skip
    return found
