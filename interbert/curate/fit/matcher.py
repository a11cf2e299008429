"""How well texts fit images by the match head of a model of ours, as logits."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from interbert.curate.settings import FitRules
from interbert.sources.images.containers.container import ImageError
from interbert.sources.images.decode import Limits, decoded

_AT_ONCE = 64


class Matcher:
    """Use as a context manager."""

    def __init__(self, rules: FitRules, limits: Limits) -> None:
        """limits: of images that are decoded, where no store has their regions."""
        from interbert.corpus.corpus import Corpus
        from interbert.inference.calls import loaded

        assert rules.model is not None
        self._model, self._processor = loaded(Path(rules.model))
        if "match" not in self._model.heads:
            raise ValueError(f"fit.model {rules.model}: no match head (prediction_heads in its config.json)")
        self._corpus = Corpus([rules.features]) if rules.features else None
        self._limits = limits
        self._vision = None if rules.encoder is None else _vision_of(rules.encoder)

    def __enter__(self) -> "Matcher":
        return self

    def __exit__(self, *_: object) -> None:
        if self._corpus is not None:
            self._corpus.close()

    def regions(self, row: dict[str, Any], data: bytes) -> tuple[Any, frozenset[str]] | None:
        """Of an image of the collection, and the words of what was seen there; None: there are none."""
        if self._corpus is None:
            from interbert.inference.regions import regions_of_images

            try:
                with decoded(data, self._limits, lambda width, height: None) as picture:
                    (found,) = regions_of_images([picture.image], self._vision)
            except ImageError:
                return None
            return found, frozenset()
        for name in (row["id"], PurePosixPath(urlsplit(row["image"]).path).stem):
            image = self._corpus.image_of(name)
            if image is not None:
                return self._of_store(image)
        return None

    def _of_store(self, image: int) -> tuple[Any, frozenset[str]]:
        from interbert.inference.regions import ImageRegions

        corpus = self._corpus
        assert corpus is not None
        counts = corpus.region_counts[[image]]
        features_RD, boxes_R4 = corpus.read(np.array([image]), counts)
        assert features_RD is not None and boxes_R4 is not None
        size = tuple(corpus.sizes[image].tolist())
        return ImageRegions(features_RD, boxes_R4, size, corpus.features_of), self._labels(
            image, int(counts[0])
        )

    def _labels(self, image: int, count: int) -> frozenset[str]:
        corpus = self._corpus
        assert corpus is not None
        names = corpus.class_names
        if names is None or corpus.evidence not in ("class_probs", "labels"):
            return frozenset()
        probs_RK, labels_R = corpus.read_evidence(np.full(count, image), np.arange(count))
        tops = probs_RK.argmax(axis=1) if labels_R is None else labels_R
        return frozenset(word for top in set(tops.tolist()) for word in names[top].lower().split())

    def logits(self, pairs: Sequence[tuple[Any, str]]) -> np.ndarray:
        """Of (regions, text), in their order."""
        import torch

        found = []
        for start in range(0, len(pairs), _AT_ONCE):
            part = pairs[start : start + _AT_ONCE]
            inputs = self._processor([text for _, text in part], regions=[regions for regions, _ in part])
            with torch.inference_mode():
                probability = self._model(**inputs, heads=["match"]).match_probability
            found.append(torch.logit(probability.double().clamp(1e-6, 1 - 1e-6)).numpy())
        return np.concatenate(found) if found else np.empty(0)


def _vision_of(spec: str) -> Any:
    import torch

    from interbert.sources.images.encoder import Choice
    from interbert.sources.images.own import load_own

    if ".py:" in spec:
        return load_own(spec, Choice(), torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return spec
