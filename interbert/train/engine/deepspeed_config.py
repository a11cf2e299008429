"""The DeepSpeed config of a run: read, held against the recipe, completed with the batch arithmetic.

A DeepSpeed config says how to compute (ZeRO stage, precision, offload); the recipe says what. Whatever both could
say is the recipe's, and a config that says otherwise is refused rather than overruled.
"""

import difflib
import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from interbert.config import Settings, SettingsError
from interbert.shipped import shipped
from interbert.train.engine.deepspeed_keys import KEYS
from interbert.train.start.settle import share_of_ranks

log = logging.getLogger(__name__)

DECISIVE = (
    *("zero_optimization", "bf16", "fp16", "gradient_clipping", "optimizer", "scheduler", "data_types"),
    *(
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "prescale_gradients",
    ),
    *("communication_data_type", "activation_checkpointing", "zero_allow_untested_optimizer"),
)
"""Settings of DeepSpeed's that decide what is trained, or how."""

OURS = shipped("ds_configs")


@dataclass(frozen=True)
class EngineConfig:
    path: str
    tree: dict[str, Any]
    """What DeepSpeed is given."""
    stage: int
    precision: Literal["fp32", "bf16", "fp16"]
    offload: bool
    accumulation: int = 0
    """Micro-batches of a step on each rank; 0 until the step is settled."""


def read_engine_config(path: str, settings: Settings) -> EngineConfig:
    """What can be said of it before the step is settled; `with_batch` adds the rest."""
    path = str(config_file(path))
    tree = _read(path)
    _refuse_misspelt(path, tree)
    _refuse(path, tree, "bfloat16", "it is an old name; write 'bf16'")
    for key in ("amp", "torch_autocast"):
        _refuse(
            path, tree, key, 'the precision is said by "bf16": {"enabled": true}, by "fp16", or by neither'
        )
    _refuse(path, tree, "optimizer", "the recipe's train.optimizer chooses it")
    _refuse(path, tree, "scheduler", "the recipe's train.schedule and train.schedule_steps make the schedule")
    train = settings.train
    _must_be(path, tree, "train_micro_batch_size_per_gpu", 1, "a packed micro-batch counts as one sample")
    _must_be(path, tree, "gradient_clipping", train.clip, "it is the recipe's train.clip")
    zero = _section(path, tree, "zero_optimization")
    for key in ("bf16", "fp16", "zero_optimization"):
        _refuse_unknown(path, key, _section(path, tree, key))
    for key in ("offload_optimizer", "offload_param"):
        _refuse_unknown(path, f"zero_optimization.{key}", _section(path, zero, key))
    stage, precision = _stage(path, zero), _precision(path, tree)
    offload = _offload(path, zero, stage)
    if stage == 0:
        sums = _section(path, tree, "data_types")
        _must_be(path, sums, "grad_accum_dtype", "fp32", "at stage 0 gradients are added up in fp32")
    if train.optimizer == "lamb" and stage > 0:
        raise SettingsError(
            f"{path}: zero_optimization.stage is {stage}, and train.optimizer is lamb: ZeRO cuts tensors into flat "
            "shards, over which LAMB's trust ratios would be taken. Use stage 0, or train.optimizer=adamw"
        )
    if train.optimizer == "lamb" and offload:
        raise SettingsError(f"{path}: lamb cannot be offloaded; use train.optimizer=adamw")
    config = EngineConfig(path, tree, stage, precision, offload)
    tree["gradient_clipping"] = 0.0 if stage == 0 else train.clip  # there we clip
    return config


def load_engine_config(path: str, settings: Settings, world_size: int) -> EngineConfig:
    """The config of a run whose settings say its step outright."""
    accumulation = share_of_ranks(settings, world_size, kept=False)
    return with_batch(read_engine_config(path, settings), settings, accumulation)


def with_batch(config: EngineConfig, settings: Settings, accumulation: int) -> EngineConfig:
    """accumulation: the micro-batches of a settled step that fall to each rank."""
    path, step = config.path, settings.micro_batches
    arithmetic = f"a step of {step} micro-batches / {step // accumulation} ranks"
    _must_be(path, config.tree, "gradient_accumulation_steps", accumulation, arithmetic)
    _must_be(path, config.tree, "train_batch_size", step, "the micro-batches of a step")
    tree = config.tree | {"gradient_accumulation_steps": accumulation}
    return replace(config, tree=tree, accumulation=accumulation)


def check_device(config: EngineConfig) -> None:
    """Refuses a precision that the devices here do not have, and warns of one that they only emulate."""
    import torch

    from interbert.kernels.cpu.bf16 import has_bf16

    if config.precision == "fp16" and not torch.cuda.is_available():
        raise SettingsError(
            f"{config.path}: fp16 needs a GPU and none is here; take ds_configs/cpu.json or a bf16 one"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.precision != "bf16" or has_bf16(device):
        return
    if device.type == "cuda":
        name = torch.cuda.get_device_name()
        raise SettingsError(f"{config.path}: {name} has no bf16; take the fp16 config of the same stage")
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return  # one rank of each host says so
    log.warning(
        "%s: this processor does not multiply matrices in bf16 (amx_bf16, avx512_bf16), and is several times to "
        "dozens of times slower in it than in fp32; take ds_configs/cpu.json, or the fp32 config of the same stage",
        config.path,
    )


def device_meant(config: EngineConfig) -> Literal["cpu", "cuda"]:
    """The device that a config is written for, be it here or not."""
    if "cpu" in Path(config.path).stem:
        return "cpu"
    if config.precision != "fp32":
        return "cuda"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def config_file(given: str) -> Path:
    """The file itself, or that of ds_configs/ which has the name: so the same word means it from any folder."""
    path = Path(given).expanduser()
    if path.is_file():
        return path
    ours = {file.stem: file for file in sorted(OURS.glob("*.json"))}
    if path.parent in (Path(), Path("ds_configs")) and path.suffix in ("", ".json") and path.stem in ours:
        return ours[path.stem]
    raise SettingsError(f"no DeepSpeed config {given}: give a file, or one of {', '.join(ours)} (in {OURS})")


def _read(path: str) -> dict[str, Any]:
    try:
        tree = json.loads(Path(path).read_text())
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: not text ({error.reason}); a DeepSpeed config is a JSON object"
        ) from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: a DeepSpeed config is a JSON object, not a {type(tree).__name__}")
    return tree


def _section(path: str, tree: dict[str, Any], key: str) -> dict[str, Any]:
    value = tree.get(key, {})
    if not isinstance(value, dict):
        raise SettingsError(
            f"{path}: {key} is {value!r}, and must be an object of settings; remove it or write one"
        )
    return value


def _stage(path: str, zero: dict[str, Any]) -> int:
    stage = zero.get("stage", 0)
    if isinstance(stage, bool) or stage not in (0, 1, 2, 3):
        raise SettingsError(f"{path}: zero_optimization.stage is {stage!r}; it must be 0, 1, 2 or 3")
    return stage


def _offload(path: str, zero: dict[str, Any], stage: int) -> bool:
    """Whether the optimizer's numbers lie on the host; refuses places from which no checkpoint is made, and stages
    that have nothing to put there."""
    for name, least in (("offload_optimizer", 1), ("offload_param", 3)):
        device = _section(path, zero, name).get("device", "none")
        if device == "cpu" and stage < least:
            raise SettingsError(
                f"{path}: zero_optimization.stage is {stage}, and {name} is for stage {least} and above; remove it, "
                f"or take ds_configs/zero{max(least, 2)}_offload_bf16.json"
            )
        if device not in ("none", "cpu"):
            raise SettingsError(
                f"{path}: zero_optimization.{name}.device is {zero[name]['device']!r}, and checkpoints are made of "
                "what lies in memory alone; set it to 'cpu' or 'none'"
            )
    section = _section(path, zero, "offload_optimizer")
    if section.get("ratio", 1.0) != 1.0:
        raise SettingsError(
            f"{path}: zero_optimization.offload_optimizer.ratio is {section['ratio']}: DeepSpeed then keeps a second "
            "optimizer, which checkpoints do not know of; remove it"
        )
    return section.get("device", "none") != "none"


def _refuse_misspelt(path: str, tree: dict[str, Any]) -> None:
    """DeepSpeed passes over a key that it does not know in silence, and trains otherwise than was meant."""
    for key in tree:
        near = difflib.get_close_matches(key, DECISIVE, n=1, cutoff=0.75)
        if near and key not in DECISIVE:
            raise SettingsError(f"{path}: DeepSpeed has no setting {key!r}; write {near[0]!r}")


def _refuse_unknown(path: str, name: str, section: dict[str, Any]) -> None:
    known = KEYS[name]
    for key in section:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"write {near[0]!r}" if near else f"remove it, or write one of {', '.join(known)}"
            raise SettingsError(f"{path}: {name} has no setting {key!r}; {remedy}")


def _precision(path: str, tree: dict[str, Any]) -> Literal["fp32", "bf16", "fp16"]:
    on = [name for name in ("bf16", "fp16") if _is_enabled(path, tree, name)]
    if len(on) == 2:
        raise SettingsError(f"{path}: bf16 and fp16 are both enabled; take one")
    return on[0] if on else "fp32"


def _is_enabled(path: str, tree: dict[str, Any], name: str) -> bool:
    enabled = _section(path, tree, name).get("enabled", False)
    if not isinstance(enabled, bool):
        raise SettingsError(f"{path}: {name}.enabled is {enabled!r}; it must be true or false")
    return enabled


def _refuse(path: str, tree: dict[str, Any], key: str, why: str) -> None:
    if key in tree:
        raise SettingsError(f"{path}: remove {key!r}: {why}")


def _must_be(path: str, tree: dict[str, Any], key: str, value: float, why: str) -> None:
    if tree.get(key, value) not in (value, "auto"):
        raise SettingsError(
            f"{path}: {key} is {tree[key]!r} but must be {value} ({why}); remove it or set it to that"
        )
