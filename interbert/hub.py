"""Hugging Face directories, on this machine or on the hub."""

from pathlib import Path

_WANTED = ["*.json", "*.txt", "model.safetensors", "pytorch_model.bin"]


class HubError(ValueError):
    """A name that is neither a directory nor to be had from the hub."""


def local_folder(name: str) -> Path:
    """A directory as it is; a hub name as what of it lies in, or comes into, the hub's cache."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise HubError(f"{name}: no such directory here, and the hub does not give it ({reason})") from None
