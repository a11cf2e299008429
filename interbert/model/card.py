"""What is told of a model on a hub, where no run has left a card of its own."""

import re
from pathlib import Path

import yaml

from interbert.files import write_text
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.usage import class_of, usage

CARD = "README.md"
_OF_NOTHING = "This model card has been automatically generated"
"""What transformers writes where it knows nothing."""


def carry_card(config: InterBertConfig, came_from: str | Path | None, folder: str | Path, name: str) -> None:
    """Into a folder that is about to be published: the card of the directory that the model came from, or a plain
    one. One that someone wrote on the hub stays. name: what it will be called."""
    here = Path(folder) / CARD
    if here.is_file() and _OF_NOTHING not in here.read_text():
        return
    there = Path(came_from) / CARD if came_from else None
    known = there is not None and there.is_file()
    write_text(here, _called(there.read_text(), name) if known else card_of(config, name))


def _called(card: str, name: str) -> str:
    """What is to be typed names the place that it is published at."""
    return re.sub(r'(from_pretrained\(")[^"]*("\))', lambda found: found[1] + name + found[2], card)


def card_of(config: InterBertConfig, name: str) -> str:
    stages = ", then ".join(f"{stage.layers} {stage.kind}" for stage in config.encoder_stages)
    kind, _ = class_of(config)
    facts = [
        f"- layers: {stages}, {config.hidden_size} wide",
        f"- words: {config.vocab_size:,}; positions: {config.max_position_embeddings}",
        f"- heads: {', '.join(config.prediction_heads or ()) or 'that of a task'}",
    ]
    if config.task is not None and config.task.get("classes"):
        facts.append(f"- classes: {len(config.task['classes']):,}")
    front = {"library_name": "transformers", "tags": ["interbert", "vision-and-language", kind]}
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {name}",
        "A vision-and-language model of interbert. What it was trained on was not noted beside its weights.",
        "## How to use it",
        usage(config, name),
        "## What it is",
        "\n".join(facts),
    ]
    return "\n\n".join(parts) + "\n"
