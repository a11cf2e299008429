"""Sizes of a model that scores a pair in no time."""

from interbert.model.shape.configuration import InterBertConfig

WIDTH = 16


def small_config(vocab_size: int, classes: int, feature_width: int = WIDTH) -> InterBertConfig:
    # Weights much larger than usual, so that the scores of a random model differ visibly.
    stages = [
        {"kind": kind, "layers": 1, "heads": 2, "intermediate_size": 32}
        for kind in ("joint", "text", "image")
    ]
    return InterBertConfig(
        vocab_size=vocab_size,
        classes=classes,
        feature_width=feature_width,
        hidden_size=16,
        pooler_size=24,
        stages=stages,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
