"""What an exported model was fine-tuned and chosen on, and how: noted in its folder, for who judges it later."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from interbert.config import Settings
from interbert.files import SUMS, read_json, write_json, write_sums

TUNED_ON = "tuned_on.json"


@dataclass(frozen=True)
class TunedOn:
    tuned_on: str | None
    """Examples or stores; None: it never was."""
    tuned_on_fingerprint: str | None = None
    chosen_on_fingerprint: str | None = None
    """Of what its checkpoint was chosen by, if it was chosen."""
    checkpoint: str = "as it is"
    """Which one it is, in words."""
    max_text_tokens: int | None = None
    max_regions: int | None = None
    """What texts and regions were cut to: judged otherwise it is another model."""

    def of(self, fingerprint: str) -> dict[str, Any]:
        """As results tell it: whether data of this fingerprint is what it was tuned or chosen on."""
        return {
            "tuned_on": self.tuned_on,
            "tuned_on_this_data": self.tuned_on_fingerprint == fingerprint,
            "chosen_on_this_data": self.chosen_on_fingerprint == fingerprint,
        }


def tuned_by(
    settings: Settings, tuned_on: str, fingerprint: str, judged_on: str | None, checkpoint: str
) -> TunedOn:
    """judged_on: fingerprint of what validation was on, which a checkpoint may have been chosen by."""
    chosen = settings.train.export == "best" or settings.train.stop_after is not None
    data = settings.data
    return TunedOn(
        tuned_on,
        fingerprint,
        judged_on if chosen else None,
        checkpoint,
        data.max_text_tokens,
        data.max_regions,
    )


def note(folder: Path, tuned: TunedOn) -> None:
    """Into the exported directory, whose list of sums then has it too."""
    write_json(folder / TUNED_ON, asdict(tuned))
    if (folder / SUMS).is_file():
        write_sums(folder)


def read_note(folder: Path) -> TunedOn:
    path = folder / TUNED_ON
    if not path.is_file():
        return TunedOn(f"not noted ({TUNED_ON} is not there)")
    known = {field.name for field in fields(TunedOn)}  # of an earlier version some are not there
    return TunedOn(**{name: value for name, value in read_json(path).items() if name in known})
