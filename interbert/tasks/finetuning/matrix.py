"""All pairs of a few held-out images and captions, the same ones each time: retrieval as it stands while training."""

import numpy as np
import torch

from interbert.config import Settings
from interbert.corpus.corpus import DISTINCTIVE, Corpus
from interbert.corpus.tokens import TokenTable
from interbert.ranks.distributed import Ranks
from interbert.tasks.retrieval.lineup import captions_of
from interbert.tasks.retrieval.retrieval import evaluate_retrieval
from interbert.train.checkpoints.export import whole_model
from interbert.train.engine.engine import Engine

IMAGES = 100
NAMES = ("text_to_image.r1", "image_to_text.r1")


class Matrix:
    """The first images that have captions, with all of these; of distinctive ones, where sets are drawn from those
    alone, one an image. Images that are damaged are left out."""

    def __init__(self, corpus: Corpus, tokens: TokenTable, settings: Settings) -> None:
        self._corpus, self._tokens, self._settings = corpus, tokens, settings
        everything, one_each = np.arange(corpus.images), settings.task.sets.captions == "distinctive"
        kind = DISTINCTIVE if one_each else None
        captions = captions_of(corpus, everything, kind, first_only=one_each)
        image_of = np.asarray(corpus.caption_image)[captions]
        images = np.unique(image_of)[:IMAGES]
        if settings.data.skip_damaged:
            damaged = corpus.damaged_images(images)
            images = images[~np.isin(images, np.array(list(damaged), np.int64))]
        self.images, self.captions = images, captions[np.isin(image_of, images)]

    def figures(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        """All ranks call this; {} where every image is damaged."""
        if not len(self.captions):
            return {}
        settings = self._settings
        dtype = torch.bfloat16 if engine.config.precision == "bf16" else torch.float32
        found = evaluate_retrieval(
            whole_model(engine).to(ranks.device, dtype),
            self._corpus,
            self._tokens,
            images=self.images,
            captions=self.captions,
            token_budget=settings.token_budget,
            max_regions=settings.data.max_regions,
            ranks=ranks,
            device=ranks.device,
        )
        return {name: found[way][recall] for name in NAMES for way, recall in [name.split(".")]}
