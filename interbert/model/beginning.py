"""How a model comes by its numbers: one parameter after another, so that nobody need ever hold it whole."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from interbert.model.layers.embeddings import Pointing
from interbert.rng import Purpose, generator

Model = TypeVar("Model", bound=nn.Module)
Read = Callable[[str], Tensor]
"""What a parameter holds, fp32 and whole, by its name."""


def fill(model: Model, read: Read, place: Callable[[nn.Parameter], None] | None = None) -> Model:
    """Gives the parameters of an empty model (on torch's device `meta`) their numbers; tied ones stay tied.

    place: what is done with each before the next is read.
    """
    for name, parameter in model.named_parameters():
        torch.utils.swap_tensors(parameter, nn.Parameter(read(name)))
        if place:
            place(parameter)
    return model


def beginning(module: nn.Module, key: str) -> Literal["normal", "zeros", "ones"]:
    """What a fresh model has there."""
    if key == "bias" or isinstance(module, Pointing):
        return "zeros"
    return "ones" if isinstance(module, nn.LayerNorm) else "normal"


def drawn(model: nn.Module, seed: int, deviation: float) -> Read:
    """A fresh model's numbers. Each parameter's depend on the seed and its name alone."""
    owners = {f"{path}.{key}": (m, key) for path, m in model.named_modules() for key in m._parameters}

    def read(name: str) -> Tensor:
        module, key = owners[name]
        shape = tuple(getattr(module, key).shape)
        match beginning(module, key):
            case "zeros":
                return torch.zeros(shape)
            case "ones":
                return torch.ones(shape)
        numbers = numbers_of(name, seed).standard_normal(shape, dtype=np.float32)
        return torch.from_numpy(numbers).mul_(deviation)

    return read


def numbers_of(name: str, seed: int) -> np.random.Generator:
    """What a parameter's first numbers are drawn from."""
    where = int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
    return generator(seed, Purpose.INITIALISATION, where)
