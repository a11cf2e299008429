"""README.md of an exported model: how it came about, and its figures."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from interbert import __version__
from interbert.config import Settings
from interbert.files import SUMS, read_json, write_sums, write_text
from interbert.model.shape.shape import Shape
from interbert.model.shape.usage import usage
from interbert.tasks.results.metrics import METRICS, metric_of
from interbert.tasks.results.page.page import caveats

CARD = "README.md"
_TASKS = {
    "classify": "Says which class an example is of, from one or two images and a text, or a text alone.",
    "score": "Gives an example a number.",
    "choose": "Says which of an example's choices is the right one.",
    "match": "Says how well an image and a text belong together.",
    "point": "Says which region of an image a text means.",
}
_SAID = ("seed", "schedule_steps", "learning_rate", "inherited_rate", "optimizer", "weight_decay")


def write_card(folder: Path, settings: Settings, results: dict[str, Any], steps: int) -> None:
    """Into the exported directory, whose list of sums then has it too. results: as in results.json."""
    _write(folder, model_card(settings, results, steps, _shape_in(folder)))


def write_pretraining_card(
    folder: Path, settings: Settings, data: dict[str, str], figures: dict[str, float], chosen: str
) -> None:
    """data: what is told of the data, by name. figures: of the last validation, by name. chosen: which weights these
    are, in words."""
    _write(folder, pretraining_card(settings, data, figures, chosen, _shape_in(folder)))


def _write(folder: Path, card: str) -> None:
    write_text(folder / CARD, card)
    if (folder / SUMS).is_file():
        write_sums(folder)


def _shape_in(folder: Path) -> Shape:
    tree = read_json(folder / "config.json")
    return Shape(**{field.name: tree[field.name] for field in fields(Shape) if field.name in tree})


def pretraining_card(
    settings: Settings, data: dict[str, str], figures: dict[str, float], chosen: str, shape: Shape
) -> str:
    front = {"library_name": "transformers", "tags": ["interbert", "vision-and-language"]}
    rows = [f"| {_plain(name)} | {value:.4g} |" for name, value in figures.items()]
    facts = [*_beginning(settings), *data.items(), ("this checkpoint", _plain(chosen)), *_rates(settings)]
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {_plain(settings.name)}",
        f"Pretrained on pairs of images and captions, by {', '.join(settings.objectives)}.",
        *_use(settings, shape),
        "## Figures",
        "\n".join(["| of the last validation | value |", "|---|---|", *rows]) if rows else "None were taken.",
        "## How it came about",
        _list(facts),
        *_settings(settings),
    ]
    return "\n\n".join(parts) + "\n"


def model_card(settings: Settings, results: dict[str, Any], steps: int, shape: Shape | None = None) -> str:
    """shape: of the model, where it is to be said how it is used."""
    assert settings.task is not None, "a model that was fine-tuned"
    kind = settings.task.kind
    parts = [
        _front(settings, results),
        f"# {_plain(settings.name)}",
        f"{_TASKS[kind]} It works on region features of images (boxes and vectors of a detector), not on pixels.",
        *(_use(settings, shape) if shape else []),
        "## Figures",
        _figures(results),
        "## How it came about",
        _origin(settings, results, steps),
        *_settings(settings),
    ]
    return "\n\n".join(parts) + "\n"


def _use(settings: Settings, shape: Shape) -> list[str]:
    return ["## How to use it", usage(shape, settings.name)]


def _settings(settings: Settings) -> list[str]:
    tree = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return ["## Settings", _block(tree)]


def _front(settings: Settings, results: dict[str, Any]) -> str:
    """What a hub reads."""
    front: dict[str, Any] = {
        "library_name": "transformers",
        "tags": ["interbert", "vision-and-language", settings.task.kind],
    }
    if results["figures"]:
        metrics = [
            {"type": name, "value": figure["value"]}
            for name, figure in results["figures"].items()
            if figure["value"] is not None
        ]
        dataset = {"name": Path(results["data"]["examples"]).name, "type": results["data"]["fingerprint"]}
        task = {"type": settings.task.kind}
        result = {"task": task, "dataset": dataset, "metrics": metrics}
        front["model-index"] = [{"name": settings.name, "results": [result]}]
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---"


def _figures(results: dict[str, Any]) -> str:
    examples = _code(Path(results["data"]["examples"]).name)
    if not results["figures"]:
        return f"None: no example of {examples} has a label."
    rows = ["| figure | value | 95 % of resamples lie in |", "|---|---|---|"]
    for metric in METRICS[results["kind"]]:
        if metric.name in results["figures"]:
            figure = results["figures"][metric.name]
            known = "low" in figure
            interval = (
                f"{metric.told(figure['low'])} to {metric.told(figure['high'])}" if known else "not told"
            )
            rows.append(f"| {metric.title} | {metric.told(figure['value'])} | {interval} |")
    told = [f"On {results['examples']:,} examples of {examples}:", "\n".join(rows)]
    if results["by_type"]:
        told.append(_by_type(results))
    return "\n\n".join([*told, *caveats(results)])


def _by_type(results: dict[str, Any]) -> str:
    metric = metric_of(results["kind"], results["metric"])
    rows = [f"| type | examples | {metric.title} |", "|---|---|---|"]
    for name, each in list(results["by_type"].items())[:20]:
        told = metric.told(each["figures"].get(metric.name, {}).get("value"))
        rows.append(f"| {_plain(name) or 'none'} | {each['examples']:,} | {told} |")
    return "\n".join(rows)


def _origin(settings: Settings, results: dict[str, Any], steps: int) -> str:
    data = settings.task.examples or ", ".join(settings.data.train) or "nothing that is named in its settings"
    facts = [
        *_beginning(settings),
        ("fine-tuned on", _code(data)),
        ("images", ", ".join(map(_code, results["data"]["stores"])) or "none"),
        ("steps", f"{steps:,}"),
        ("this checkpoint", _plain(results["checkpoint"])),
        *_rates(settings),
    ]
    return _list(facts)


def _beginning(settings: Settings) -> list[tuple[str, str]]:
    model = settings.model
    start = model.inherit_from or model.bert
    began = f"from {_code(start)}" if start else f"from nothing, at the size {_code(model.preset)}"
    return [("architecture", _code(model.architecture)), ("began", began)]


def _rates(settings: Settings) -> list[tuple[str, str]]:
    told = [(name.replace("_", " "), _code(str(getattr(settings.train, name)))) for name in _SAID]
    return [*told[:1], ("batch", _batch(settings)), *told[1:], ("made with", f"interbert {__version__}")]


def _batch(settings: Settings) -> str:
    """Of a recipe that says micro-batches, the pairs of `train.batch` mean nothing."""
    asked, step = settings.train.batch, settings.step
    parts = [_code(asked)] if asked and settings.train.micro_batches is None else []
    if step is not None:
        parts.append(f"{step.micro_batches} micro-batches of at most {step.token_budget:,} tokens a step")
    elif settings.train.micro_batches is not None:
        parts.append(f"{settings.train.micro_batches} micro-batches a step")
    return ", ".join(parts)


def _list(facts: list[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts)


def _plain(text: str) -> str:
    """A name as Markdown shows it, whatever is in it."""
    marks = "\\`*_{}[]()<>#+!|~&"
    return "".join(f"\\{letter}" if letter in marks else letter for letter in " ".join(text.split()))


def _code(text: str) -> str:
    """Between more backticks than there are in it."""
    text = " ".join(text.split()).replace("|", "¦")
    fence = "`" * (max(map(len, _runs_of_backticks(text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _block(text: str) -> str:
    fence = "`" * max(3, max(map(len, _runs_of_backticks(text)), default=0) + 1)
    return f"{fence}yaml\n{text}{fence}"


def _runs_of_backticks(text: str) -> list[str]:
    return ["`" * len(run) for run in "".join(c if c == "`" else " " for c in text).split()]
