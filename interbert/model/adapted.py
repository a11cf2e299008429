"""Directories of peft's low-rank adapters: merged into the model that they were made for, or beside it.

    W + alpha / rank * B A

is what merging gives a matrix; peft itself is not needed for it.
"""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from interbert.adapter_folder import CONFIG, AdapterError, adapter_config
from interbert.model.beginning import Read
from interbert.model.convert.files import read_weights

PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
FILES = ("adapter_model.safetensors", "adapter_model.bin")
OTHER = {
    *("rank_pattern", "alpha_pattern", "fan_in_fan_out", "use_dora", "lora_bias", "layer_replication"),
    *("target_parameters", "trainable_token_indices", "use_qalora", "use_bdlora", "kasa_config"),
    *("alora_invocation_tokens", "velora_config", "monteclora_config", "arrow_config"),
}
"""What makes peft compute something else. Empty or false in a plain adapter."""


class Adapters:
    """Of one folder: their numbers, by the model's own names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = adapter_config(folder) or {}
        _refuse_others(folder, config)
        rank, alpha = config["r"], config["lora_alpha"]
        self.scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        saved = read_weights(
            next((folder / name for name in FILES if (folder / name).is_file()), folder / FILES[0])
        )
        found = {name.removeprefix(PREFIX): value.float() for name, value in saved.items()}
        self.pairs = {name.removesuffix(A) + ".weight": a for name, a in found.items() if name.endswith(A)}
        self.b = {name.removesuffix(B) + ".weight": b for name, b in found.items() if name.endswith(B)}
        self.whole = {name: value for name, value in found.items() if not name.endswith((A, B))}
        if self.pairs.keys() != self.b.keys():
            raise AdapterError(
                f"{folder}: {', '.join(sorted(self.pairs.keys() ^ self.b.keys()))} has only A or only B"
            )

    def check_fit(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """shapes: of the model's parameters."""
        faults = [name for name in (*self.pairs, *self.whole) if name not in shapes]
        faults += [n for n, x in self.whole.items() if n in shapes and tuple(x.shape) != shapes[n]]
        for name, a_RI in self.pairs.items():
            if name in shapes and (self.b[name].shape[0], a_RI.shape[1]) != shapes[name]:
                faults.append(name)
        head = [name for name in faults if name.startswith("task.") and name not in shapes]
        if head and len(head) == len(faults):
            raise AdapterError(
                f"{self.folder}: its adapters bring a head ({', '.join(sorted(head))}) that their model has not; "
                "save the configuration of the model that was tuned beside them: model.config.save_pretrained(DIR)"
            )
        if faults:
            raise AdapterError(
                f"{self.folder}: its adapters do not fit the model: {', '.join(sorted(faults))}; they were made for "
                f"another one than base_model_name_or_path of {CONFIG} names"
            )

    def merged(self, read: Read) -> Read:
        """What reads a model's weights with what the adapters add."""

        def read_merged(name: str) -> Tensor:
            if name in self.whole:
                return self.whole[name]
            if name not in self.pairs:
                return read(name)
            return read(name) + self.scale * (self.b[name] @ self.pairs[name])

        return read_merged


def _refuse_others(folder: Path, config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterError(
            f"{folder / CONFIG}: peft_type is {kind}, and LORA alone is read; merge it with peft"
        )
    others = sorted(name for name in OTHER if config.get(name))
    if config.get("bias", "none") != "none":
        others.append("bias")
    if others:
        raise AdapterError(
            f"{folder / CONFIG}: {', '.join(others)} is not read here; merge the adapters with peft "
            "(merge_and_unload) and save the model"
        )
