"""Sizes and shape of a model. The encoder is data: a list of stages, run one after another.

Light to import: what a model would be can be said without torch and transformers.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

STAGE_KINDS = ("joint", "text", "image", "cross")
FUSIONS = ("mul", "sum")
GLOBAL_TOKENS = ("after_masking", "before_masking", "none")
HEADS = ("tokens", "regions", "features", "match", "search")
MATCH_HEADS = ("fused", "cls", "pooled", "none")
SEARCH_LOOKS = 4
"""Places of a stream that the head `search` looks at besides its first row."""
IMAGE_NORMS = ("own", "text", "parts")


class ConfigurationError(ValueError):
    """A model configuration that cannot be built."""


@dataclass(frozen=True)
class Stage:
    """Some equal transformer layers over one stream."""

    kind: str
    """joint: image and text tokens of a pair together; text or image: those alone; cross: each asks the other."""
    layers: int
    heads: int
    intermediate_size: int
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1


ARCHITECTURES = ("interbert", "imagebert", "visualbert", "vlbert", "vilbert")


@dataclass(frozen=True)
class Scale:
    """Sizes that any architecture can be built in."""

    hidden_size: int
    pooler_size: int
    heads: int
    image_heads: int
    intermediate_size: int
    depth: int
    """Layers of a single stream; InterBERT's joint layers are half of them."""
    own: int
    """Layers of each stream for itself after the joint ones; in ViLBERT after each co-attention one of them."""
    before: int
    """ViLBERT's text layers before the first co-attention."""
    dropout: float = 0.1
    image_dropout: float = 0.2
    initializer_range: float = 0.02


SCALES = {
    # For data made on the fly, which so small a model cannot learn by heart: no dropout. Narrow matrices need
    # larger initial weights than BERT's to start learning at once. Every architecture holds four layers.
    "tiny": Scale(
        128, 256, 4, 4, 384, depth=4, own=1, before=0, dropout=0.0, image_dropout=0.0, initializer_range=0.06
    ),
    "small": Scale(384, 512, 6, 6, 1536, depth=6, own=3, before=3),
    "base": Scale(768, 1024, 12, 8, 3072, depth=12, own=6, before=6),
}


def preset(name: str, architecture: str = "interbert") -> dict[str, Any]:
    """Fields of the configuration."""
    _one_of("preset", name, tuple(SCALES))
    _one_of("architecture", architecture, ARCHITECTURES)
    scale = SCALES[name]

    def stage(kind: str, layers: int) -> dict[str, Any]:
        image = kind == "image"
        heads = scale.image_heads if image else scale.heads
        hidden_dropout = scale.image_dropout if image else scale.dropout
        return asdict(Stage(kind, layers, heads, scale.intermediate_size, hidden_dropout, scale.dropout))

    single = {"stages": [stage("joint", scale.depth)], "match_head": "cls"}
    own = [stage("text", scale.own), stage("image", scale.own)]
    before = [stage("text", scale.before)] if scale.before else []
    together = [stage("cross", 1), stage("text", 1), stage("image", 1)]
    of_architecture = {
        "interbert": {"stages": [stage("joint", scale.depth // 2), *own]},
        "imagebert": {**single, "visual_place": True, "global_token": "none"},
        "visualbert": {**single, "visual_place": True, "global_token": "none"},
        "vlbert": {**single, "words_see_image": True, "match_head": "none"},
        "vilbert": {"stages": before + together * scale.own},
    }[architecture]
    return {
        "hidden_size": scale.hidden_size,
        "pooler_size": scale.pooler_size,
        "embedding_dropout": scale.dropout,
        "pooled_dropout": scale.dropout,
        "initializer_range": scale.initializer_range,
        **of_architecture,
    }


@dataclass(frozen=True)
class TaskShape:
    """What a model was fine-tuned for, and so its head."""

    kind: str
    """classify, score, choose or point. (One that matches keeps the match head.)"""
    head: str = "linear"
    """linear, or mlp: a hidden layer of twice the width before it."""
    images: int = 1
    """Of an example: 2, and the head reads two pairs side by side."""
    classes: list[str] | None = None
    """classify: names of the outputs, in their order."""
    soft: bool = False
    """classify: each class weighs for itself, so that several may be right."""
    tags: bool = False
    """Words that point at regions bring what they point at."""

    @property
    def outputs(self) -> int:
        return len(self.classes) if self.classes else 1


@dataclass
class Shape:
    """What a model is made of. `InterBertConfig` is this as Hugging Face's libraries want it."""

    vocab_size: int = 30522
    hidden_size: int = 768
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    feature_width: int = 2048
    classes: int = 1601
    pooler_size: int = 1024
    fusion: str = "mul"
    """How the two pooled vectors are joined for matching: multiplied or summed."""
    global_token: str = "after_masking"
    """First image token of a pair, the mean of its regions: of what masking left (the default), of the
    unmasked ones (which leaks the answer), or none at all."""
    visual_place: bool = False
    """Image tokens add a segment and the one position that all of them share (ImageBERT)."""
    words_see_image: bool = False
    """Every word adds the projected feature of its whole image (VL-BERT)."""
    match_head: str = "fused"
    """fused: two classes from a pooled vector of each stream; cls: one logit from the caption's first token; pooled:
    two classes from that token's pooled vector, tanh of a linear layer, as BERT's; none."""
    image_norm: str = "own"
    """LayerNorm of image tokens: their own; text: that of the words (VisualBERT); parts: features and boxes each have
    one before they are added, and the sum its own (UNITER)."""
    stages: list[dict[str, Any]] | None = None
    """Fields of `Stage`; empty: those of the preset `base`."""
    prediction_heads: list[str] | None = None
    """Of tokens, regions (class distribution), features (regression), match, search (a vector of each stream, run
    alone); empty: tokens, regions and match."""
    search_width: int = 256
    """Of the vectors of the head `search`."""
    embedding_dropout: float = 0.1
    pooled_dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    task: dict[str, Any] | None = None
    """Fields of `TaskShape`, of a model with the head of a task."""
    features_of: str | None = None
    """The detector or encoder whose features it was trained on, where the data told it."""
    inherited_parameters: list[str] | None = None
    """Names or dotted prefixes of the parameters that came from BERT."""

    def __post_init__(self) -> None:
        if self.stages is None:
            self.stages = preset("base")["stages"]
        if self.prediction_heads is None:
            self.prediction_heads = ["tokens", "regions", *(["match"] if self.match_head != "none" else [])]
        if self.inherited_parameters is None:
            self.inherited_parameters = []
        self._check()

    @classmethod
    def from_preset(cls, name: str, architecture: str = "interbert", **override: Any) -> Self:
        """The sizes of a preset (tiny, small, base) in an architecture, with some fields changed."""
        fields_of_preset = preset(name, architecture)
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(override) - known)
        if unknown:
            own = ", ".join(field.name for field in fields(Shape))
            raise ConfigurationError(f"the model has no field {', '.join(unknown)}; its fields are {own}")
        return cls(**{**fields_of_preset, **override})

    @property
    def encoder_stages(self) -> list[Stage]:
        return [Stage(**stage) for stage in self.stages or ()]

    def _words_meet_images(self) -> bool:
        return any(stage.get("kind") in ("joint", "cross") for stage in self.stages or ())

    def _check(self) -> None:
        stages, heads = self.stages or (), self.prediction_heads or ()
        _one_of("fusion", self.fusion, FUSIONS)
        for field in _SIZES:
            _positive(field, getattr(self, field))
        _one_of("global_token", self.global_token, GLOBAL_TOKENS)
        _one_of("match_head", self.match_head, MATCH_HEADS)
        if self.match_head == "none" and "match" in heads:
            raise ConfigurationError(
                "prediction_heads names match, but match_head is 'none': this architecture does not match captions "
                "and images; take fused or cls, or leave the objective itm out"
            )
        _one_of("image_norm", self.image_norm, IMAGE_NORMS)
        if self.match_head in ("cls", "pooled") and not self._words_meet_images():
            raise ConfigurationError(
                f"match_head is {self.match_head!r}, but no joint or cross stage lets words see the image"
            )
        for head in heads:
            _one_of("prediction_heads", head, HEADS)
        if "regions" in heads:
            _positive("classes", self.classes)
        known = {field.name for field in fields(Stage)}
        required = {"kind", "layers", "heads", "intermediate_size"}
        for number, stage in enumerate(stages):
            where = f"stages[{number}]"
            if set(stage) - known or required - set(stage):
                raise ConfigurationError(
                    f"{where} has the fields {sorted(stage)}; "
                    f"it needs {sorted(required)} and may have {sorted(known)}"
                )
            _one_of(f"{where}.kind", stage["kind"], STAGE_KINDS)
            for field in ("layers", "heads", "intermediate_size"):
                _positive(f"{where}.{field}", stage[field])
            if self.hidden_size % stage["heads"]:
                fitting = [n for n in range(1, 33) if self.hidden_size % n == 0]
                nearest = min(fitting, key=lambda n: abs(n - stage["heads"]))
                raise ConfigurationError(
                    f"{where}: hidden_size {self.hidden_size} does not divide into {stage['heads']} heads; "
                    f"take a number of heads that divides it, such as {nearest}"
                )


_SIZES = (
    "vocab_size",
    "hidden_size",
    "max_position_embeddings",
    "type_vocab_size",
    "feature_width",
    "pooler_size",
    "search_width",
)


def _positive(field: str, value: object) -> None:
    if not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{field} is {value!r}; it must be a whole number above 0")


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{field} is {value!r}; it must be one of {', '.join(allowed)}")
