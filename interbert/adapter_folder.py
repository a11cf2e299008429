"""A directory as peft writes it: low-rank additions, and the name of the model that they were made for."""

from pathlib import Path
from typing import Any

from interbert.files import read_json

CONFIG = "adapter_config.json"


class AdapterError(ValueError):
    """Adapters that cannot be read, or whose model is not here."""


def adapter_config(folder: Path) -> dict[str, Any] | None:
    """None where the folder is no adapter's."""
    return read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None


def base_of(folder: Path) -> Path | None:
    """Where the model lies that the adapters of this folder were made for; None where it is no adapter's."""
    config = adapter_config(folder)
    if config is None:
        return None
    said = config.get("base_model_name_or_path")
    if not said:
        raise AdapterError(
            f"{folder / CONFIG}: names no base_model_name_or_path; write there where the model lies that the "
            "adapters were made for, or take the export of their run, which has them merged"
        )
    if not (Path(said) / "config.json").is_file():
        raise AdapterError(
            f"{folder / CONFIG}: base_model_name_or_path is {said}, and no model is there; correct it (it is looked "
            "for from the folder you are in)"
        )
    return Path(said)
