"""A perceptual hash: 64 signs of an image's coarsest waves. What is encoded anew, scaled or cropped a little keeps
most of them."""

import numpy as np
from PIL import Image

SIDE, _WAVES = 32, 8
_place, _wave = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(_WAVES))
_COSINES = np.cos(np.pi * _place * _wave / SIDE).astype(np.float32)
"""[8, 32]: a discrete cosine transform, of which only the coarsest waves are wanted."""
_WEIGHTS = np.uint64(1) << np.arange(63, -1, -1, dtype=np.uint64)


def phash(image: Image.Image) -> int:
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32)
    waves = _COSINES @ grey @ _COSINES.T
    signs = (waves > np.median(waves)).ravel()
    return int(_WEIGHTS[signs].sum(dtype=np.uint64))
