"""Sizes and shape of a model. The encoder is data: a list of stages, run one after another."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from transformers import PreTrainedConfig

STAGE_KINDS = ("joint", "text", "image")
FUSIONS = ("mul", "sum")
GLOBAL_TOKENS = ("after_masking", "before_masking", "none")
HEADS = ("tokens", "regions", "features", "match")


class ConfigurationError(ValueError):
    """A model configuration that cannot be built."""


@dataclass(frozen=True)
class Stage:
    """Some equal transformer layers over one stream."""

    kind: str
    """joint: image and text tokens of a pair together; text or image: those alone."""
    layers: int
    heads: int
    intermediate_size: int
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1


def _stages(layers: int, heads: int, image_heads: int, intermediate_size: int) -> list[dict[str, Any]]:
    text = [Stage(kind, layers, heads, intermediate_size) for kind in ("joint", "text")]
    image = Stage("image", layers, image_heads, intermediate_size, hidden_dropout=0.2)
    return [asdict(stage) for stage in (*text, image)]


def _tiny() -> dict[str, Any]:
    """For data made on the fly, which so small a model cannot learn by heart: no dropout. Narrow matrices need
    larger initial weights than BERT's to start learning at once."""
    layers = {"joint": 2, "text": 1, "image": 1}
    stages = [Stage(kind, n, 4, 384, hidden_dropout=0.0, attention_dropout=0.0) for kind, n in layers.items()]
    return {
        "hidden_size": 128,
        "pooler_size": 256,
        "stages": [asdict(stage) for stage in stages],
        "embedding_dropout": 0.0,
        "pooled_dropout": 0.0,
        "initializer_range": 0.06,
    }


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": _tiny(),
    "small": {"hidden_size": 384, "pooler_size": 512, "stages": _stages(3, 6, 6, 1536)},
    "base": {"hidden_size": 768, "pooler_size": 1024, "stages": _stages(6, 12, 8, 3072)},
}


class InterBertConfig(PreTrainedConfig):
    """What `config.json` holds."""

    model_type = "interbert"

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
    stages: list[dict[str, Any]] | None = None
    """Fields of `Stage`; empty: those of the preset `base`."""
    prediction_heads: list[str] | None = None
    """Of tokens, regions (class distribution), features (regression), match; empty: all but features."""
    embedding_dropout: float = 0.1
    pooled_dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    inherited_parameters: list[str] | None = None
    """Names or dotted prefixes of the parameters that came from BERT."""
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        if self.stages is None:
            self.stages = [dict(stage) for stage in PRESETS["base"]["stages"]]
        if self.prediction_heads is None:
            self.prediction_heads = ["tokens", "regions", "match"]
        if self.inherited_parameters is None:
            self.inherited_parameters = []
        super().__post_init__(**kwargs)
        self._check()

    @classmethod
    def from_preset(cls, name: str, **override: Any) -> "InterBertConfig":
        if name not in PRESETS:
            raise ConfigurationError(f"no preset {name!r}: take one of {', '.join(PRESETS)}")
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(override) - known)
        if unknown:
            own = ", ".join(f.name for f in fields(cls) if f.name in cls.__annotations__)
            raise ConfigurationError(f"the model has no field {', '.join(unknown)}; its fields are {own}")
        return cls(**{**PRESETS[name], **override})

    @property
    def encoder_stages(self) -> list[Stage]:
        return [Stage(**stage) for stage in self.stages]

    def _check(self) -> None:
        _one_of("fusion", self.fusion, FUSIONS)
        _one_of("global_token", self.global_token, GLOBAL_TOKENS)
        for head in self.prediction_heads:
            _one_of("prediction_heads", head, HEADS)
        known = {field.name for field in fields(Stage)}
        required = {"kind", "layers", "heads", "intermediate_size"}
        for number, stage in enumerate(self.stages):
            where = f"stages[{number}]"
            if set(stage) - known or required - set(stage):
                raise ConfigurationError(
                    f"{where} has the fields {sorted(stage)}; "
                    f"it needs {sorted(required)} and may have {sorted(known)}"
                )
            _one_of(f"{where}.kind", stage["kind"], STAGE_KINDS)
            if stage["heads"] < 1 or self.hidden_size % stage["heads"]:
                raise ConfigurationError(
                    f"{where}: hidden_size {self.hidden_size} does not divide into {stage['heads']} heads"
                )


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{field} is {value!r}; it must be one of {', '.join(allowed)}")
