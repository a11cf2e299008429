"""What the fit of an image and a text is told by: the match head's logit, and where it stands among others.

Letters: N candidates of one image, M texts of other images, F numbers.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from interbert.curate.settings import Source
from interbert.curate.texts.rules import repetition_of
from interbert.curate.texts.words import words_of

SOURCES: tuple[str, ...] = get_args(Source)
COLUMNS = ("match", "margin", "rank", "length", "repetition", "labels", *SOURCES)


def columns_of(
    logits_N: np.ndarray, others_M: np.ndarray, texts: Sequence[tuple[str, str]], labels: frozenset[str]
) -> np.ndarray:
    """[N, F]. texts: (source, text). labels: words of what a detector saw in the image.

    margin: above what texts of other pages reach with this image, which takes away what is the image's own; rank: the
    share of the image's candidates that match better.
    """
    count = len(logits_N)
    null = np.quantile(others_M, 0.95) if len(others_M) else 0.0
    rows = np.zeros((count, len(COLUMNS)))
    rows[:, 0], rows[:, 1] = logits_N, logits_N - null
    for number, (source, text) in enumerate(texts):
        words = words_of(text)
        rest = np.delete(logits_N, number)
        rows[number, 2] = (rest > logits_N[number]).mean() if len(rest) else 0.0
        rows[number, 3] = np.log1p(len(words))
        rows[number, 4] = repetition_of(words)
        rows[number, 5] = len(labels.intersection(words)) / max(len(set(words)), 1)
        rows[number, COLUMNS.index(source)] = 1.0
    return rows
