"""A run that asks for the best of something is judged by something: refused before it begins, not at its end."""

from collections.abc import Sequence

from interbert.config import Settings, SettingsError

_WITHOUT = {"best": None, "stop_after": None, "export": "last"}
"""What asks nothing of validation."""


def refuse_unjudged(settings: Settings, remedy: str) -> None:
    """For a task that has nothing to be judged on. remedy: what would give it something."""
    for name, without in _WITHOUT.items():
        asked = getattr(settings.train, name)
        if asked != without:
            raise SettingsError(
                f"train.{name} is {asked!r}, which compares rounds of validation, and {settings.name!r} has nothing "
                f"to be judged on: give {remedy}, or --set train.{name}={without or ''}"
            )


def refuse_other_figure(settings: Settings, figures: Sequence[str]) -> None:
    """figures: names of those that validation will have."""
    asked = settings.train.best
    if asked is not None and asked not in figures:
        raise SettingsError(
            f"train.best is {asked!r}, which validation will not have: give one of {', '.join(figures)}"
        )
