"""Our own Hugging Face directories, read so that nothing stays random unnoticed."""

from pathlib import Path

from safetensors import SafetensorError
from transformers import AutoConfig

from interbert.files import check_sums
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.tasks import InterBertForTasks


def load_ours(folder: str | Path) -> InterBertForPreTraining:
    """The model of a directory, of the class that wrote it; every weight must be there and fit."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: no config.json; give a directory such as runs/<name>/export")
    check_sums(folder)
    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "interbert":
        raise ValueError(
            f"{folder}: a {config.model_type}, not an interbert; `python -m interbert convert` brings others in"
        )
    kinds = {kind.__name__: kind for kind in (InterBertForPreTraining, InterBertForTasks)}
    kind = kinds.get((config.architectures or [""])[0], InterBertForPreTraining)
    try:
        # Another shape is reported below with the rest, not raised in torch's words.
        model, found = kind.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, use_safetensors=True
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder}: the weights cannot be read ({error})") from None
    faults = [
        f"{what.replace('_', ' ')}: {', '.join(map(str, sorted(found[what])))}"
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if found[what]
    ]
    if faults:
        raise ValueError(f"{folder}: its weights do not fit its config.json; " + "; ".join(faults))
    return model
