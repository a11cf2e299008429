"""Whose features a store holds and a model was trained on: a detector's or encoder's name, and what tells it apart.

Written `NAME@DIGEST`: the digest is of its numbers, the name is for people. Where it is not known it is None, and
fits everything: only what is known to differ is refused.
"""

from interbert.store.format import StoreError


class OtherFeatures(StoreError):
    """Features of another detector than they are wanted of."""


def may_be_one(a: str | None, b: str | None) -> bool:
    return a is None or b is None or a.rpartition("@")[2] == b.rpartition("@")[2]


def refuse_other_features(
    model: object, trained_on: str | None, data: object, features_of: str | None
) -> None:
    """model, data: how each of them is called; then whose features it is trained on, and whose it has."""
    if not may_be_one(trained_on, features_of):
        raise OtherFeatures(
            f"{model} was trained on features of {trained_on}, those of {data} are of {features_of}: numbers of "
            "another detector mean nothing to it; compute them with `extract` and the first, or take a model that "
            "was trained on the second (features_of in config.json, and in a store's attributes)"
        )
