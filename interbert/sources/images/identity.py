"""What tells a detector's or encoder's features from another's: its weights, and how it is given pixels."""

import torch
import xxhash

_PIXELS = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")


def features_of(model: torch.nn.Module, processor: object, name: str) -> str:
    """NAME@DIGEST. The digest is the same wherever the weights lie, whatever its files and tensors are called."""
    tensors = sorted(_digest(tensor) for tensor in model.state_dict().values() if tensor.is_floating_point())
    pixels = repr([getattr(processor, field, None) for field in _PIXELS])
    return f"{name}@{xxhash.xxh3_64_hexdigest((''.join(tensors) + pixels).encode())}"


def _digest(tensor: torch.Tensor) -> str:
    values = tensor.detach().to("cpu", torch.float32).contiguous()
    return f"{tuple(values.shape)}{xxhash.xxh3_128_hexdigest(values.numpy().data)}"
