"""Our own Hugging Face directories, read so that nothing stays random unnoticed."""

import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoConfig

from interbert.adapter_folder import AdapterError, adapter_config, base_of
from interbert.files import check_sums, read_json
from interbert.model.adapted import Adapters
from interbert.model.beginning import Read, drawn, fill
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.released_tasks import InterBertForTasks
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.task_head import InterBertFineTuned

log = logging.getLogger(__name__)
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def load_ours(folder: str | Path) -> InterBertForPreTraining:
    """The model of a directory, of the class that wrote it; every weight must be there and fit. Of a directory of
    peft's adapters the model that they were made for, with them merged; `load_with_adapters` keeps them apart."""
    return fill(*open_ours(folder)).eval()


def load_with_adapters(folder: str | Path) -> Any:
    """A `peft.PeftModel` over the model that the adapters of this directory were made for: they can learn on, be
    taken off (`disable_adapter`) or merged (`merge_and_unload`)."""
    try:
        import peft
    except ImportError:
        raise AdapterError(
            f"{folder}: adapters apart from their model need the package peft: pip install 'interbert[peft]'; "
            "`load_ours` merges them without it"
        ) from None

    model, read = _open_base(Path(folder))
    fresh = drawn(model, 0, model.config.initializer_range)
    whole = Adapters(Path(folder)).whole
    fill(model, lambda name: fresh(name) if name in whole else read(name))
    return peft.PeftModel.from_pretrained(model.eval(), str(folder), is_trainable=True)


def open_ours(folder: str | Path) -> tuple[InterBertForPreTraining, Read]:
    """The same as `load_ours`, empty, and what reads its weights one by one."""
    folder = Path(folder)
    if adapter_config(folder) is not None:
        adapters = Adapters(folder)
        model, read = _open_base(folder)
        adapters.check_fit({name: tuple(value.shape) for name, value in model.named_parameters()})
        log.info("%s: adapters, merged into the model of %s", folder, base_of(folder))
        return model, adapters.merged(read)
    return _open_whole(folder)


def _open_base(folder: Path) -> tuple[InterBertForPreTraining, Read]:
    """The model that the adapters of this folder were made for; with the head that they bring, if the folder has a
    configuration of its own that names one."""
    base, read = _open_whole(base_of(folder) or folder)
    if not (folder / "config.json").is_file():
        return base, read
    config = AutoConfig.from_pretrained(folder)
    return _class_of(config).empty(config), read


def _open_whole(folder: Path) -> tuple[InterBertForPreTraining, Read]:
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: no config.json; give a directory such as runs/<name>/export")
    check_sums(folder)
    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "interbert":
        raise ValueError(
            f"{folder}: a {config.model_type}, not an interbert; `python -m interbert convert` brings others in"
        )
    model = _class_of(config).empty(config)
    try:
        where = _files_of(folder)
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in where.items()}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder}: the weights cannot be read ({error})") from None
    _check_fit(folder, model, shapes)

    def read(name: str) -> Tensor:
        return where[name].get_tensor(name).float()

    return model, read


def _class_of(config: InterBertConfig) -> type[InterBertForPreTraining]:
    """Whichever class of ours wrote it: those of tasks have one of these inside."""
    if config.task is not None:
        return InterBertFineTuned
    written_by = (config.architectures or [""])[0]
    return InterBertForTasks if written_by == InterBertForTasks.__name__ else InterBertForPreTraining


def _files_of(folder: Path) -> dict[str, safe_open]:
    """name of a weight -> the open file that holds it"""
    index = folder / INDEX
    names = sorted(set(read_json(index)["weight_map"].values())) if index.is_file() else [WEIGHTS]
    files = [safe_open(folder / name, "pt") for name in names]
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118


def _check_fit(folder: Path, model: InterBertForPreTraining, shapes: dict[str, tuple[int, ...]]) -> None:
    needed = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    found = {
        "missing": [name for name in needed if name not in shapes],
        "unexpected": [name for name in shapes if name not in tied],
        "of another shape": [
            f"{name} ({list(shapes[name])} there, {list(shape)} needed)"
            for name, shape in needed.items()
            if name in shapes and shapes[name] != shape
        ],
    }
    faults = [f"{what}: {', '.join(sorted(names))}" for what, names in found.items() if names]
    if faults:
        raise ValueError(f"{folder}: its weights do not fit its config.json; " + "; ".join(faults))
