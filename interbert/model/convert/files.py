"""Weights from files: safetensors, or torch's, of which nothing but tensors is read."""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from interbert.model.convert.report import WeightsError


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Names and tensors of a .safetensors, .bin, .pt or .pth file, or of the one in a directory."""
    path = Path(path)
    if path.is_dir():
        path = _in_directory(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give a .safetensors or .bin file, or a directory with one")
    weights = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    weights = weights.get("state_dict", weights.get("model", weights))
    if not isinstance(weights, dict) or not weights:
        raise WeightsError(f"{path}: holds no weights by name")
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"{path}: {name} is a {type(value).__name__}, not a tensor")
    return {name.removeprefix("module."): value for name, value in weights.items()}


def _in_directory(folder: Path) -> Path:
    names = ("model.safetensors", "pytorch_model.bin")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"{folder}: neither {names[0]} nor {names[1]} is there")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy it again") from None


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("\n")[0]
        raise WeightsError(
            f"{path}: refused, for it holds more than tensors and could run code ({reason}); "
            "have its owner save it as safetensors"
        ) from None
    except (RuntimeError, EOFError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise WeightsError(f"{path}: not a whole torch file ({reason}); copy it again") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: holds a {type(found).__name__}, not weights by name")
    return found
