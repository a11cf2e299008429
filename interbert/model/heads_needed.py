"""Which heads of a model the objectives read."""

from collections.abc import Iterable

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
