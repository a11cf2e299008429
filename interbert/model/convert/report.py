"""What became of every weight of a transfer."""

from dataclasses import dataclass, field


class WeightsError(ValueError):
    """Weights that do not fit."""


@dataclass
class Report:
    """What became of every key of some weights."""

    source: str
    used: list[str] = field(default_factory=list)
    """Keys of the source that now are in the model."""
    set_aside: list[str] = field(default_factory=list)
    """Keys that are known to have no place here."""
    unused: list[str] = field(default_factory=list)
    """Keys that nobody asked for."""
    missing: list[str] = field(default_factory=list)
    """Keys that should be there and are not."""
    wrong_shape: list[str] = field(default_factory=list)
    """`key: shape there, shape needed`."""
    left_random: list[str] = field(default_factory=list)
    """Parameters of the model that nothing filled, as was asked."""

    @property
    def clean(self) -> bool:
        return not (self.unused or self.missing or self.wrong_shape)

    def check(self) -> None:
        """WeightsError, with all of this in its text, unless it is clean."""
        if not self.clean:
            raise WeightsError(
                f"{self}\nNothing was written. Check that the configuration belongs to these weights; "
                "what may stay random is named with --allow-missing (a head or a prefix)"
            )

    def __str__(self) -> str:
        lines = [f"{self.source}: {len(self.used)} keys used"]
        for name in ("set_aside", "unused", "missing", "wrong_shape", "left_random"):
            entries = getattr(self, name)
            if entries:
                lines.append(f"  {name.replace('_', ' ')} ({len(entries)}):")
                lines += [f"    {entry}" for entry in entries]
        return "\n".join(lines)
