"""Which heads of a model the objectives read."""

from collections.abc import Iterable

from interbert.config import ModelSettings
from interbert.model.shape.shape import preset

HEAD = {
    "msm": "tokens",
    "mlm": "tokens",
    "mrm": "regions",
    "moc": "regions",
    "mrfr": "features",
    "itm": "match",
}
"""The head each objective reads."""


def needs(names: Iterable[str]) -> set[str]:
    return {HEAD[name] for name in names}


def wanted_heads(model: ModelSettings, objectives: Iterable[str]) -> list[str]:
    """Matching is what the export is used for first, whether it was trained on or not."""
    matches = preset(model.preset, model.architecture).get("match_head", "fused") != "none"
    return sorted(needs(objectives) | ({"match"} if matches else set()))
