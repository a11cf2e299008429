"""The data that a recipe asks for: named by it, or made here where the recipe makes its own."""

from pathlib import Path

from interbert.config import Settings, SettingsError
from interbert.ranks.distributed import Ranks
from interbert.sources.scenes.splits import make_examples, make_scenes


def provide_data(settings: Settings, ranks: Ranks) -> Settings:
    """The settings with their stores named; a recipe with `scenes` makes its own where none was given."""
    if not settings.data.train and settings.scenes is None:
        raise SettingsError(f"recipe {settings.name!r} needs data: give --data STORE or DIRECTORY")
    data = settings.data
    if not data.train:
        train, validation = ranks.main_only(lambda: make_scenes(settings.scenes))
        data = data.model_copy(update={"train": [train], "validation": data.validation or [validation]})
    return settings.model_copy(update={"data": data})


def provide_examples(settings: Settings, ranks: Ranks) -> Settings:
    """The same for a recipe of an embedded task: its examples, and the stores that hold their images."""
    data, task, scenes = settings.data, settings.task, settings.scenes
    if task.examples is not None:
        return settings
    if data.train:
        raise SettingsError(
            f"recipe {settings.name!r} asks about scenes of its own: give --examples FILE beside --data, or leave "
            "both out"
        )
    if scenes.world != "text":
        stores = ranks.main_only(lambda: make_scenes(scenes))
        data = data.model_copy(update={"train": list(stores)})
    train, validation = ranks.main_only(lambda: make_examples(scenes))
    named = {"examples": train, "validation": task.validation or validation}
    return settings.model_copy(update={"data": data, "task": task.model_copy(update=named)})


def tokenizer_folder(settings: Settings) -> Path:
    if settings.data.tokenizer:
        return Path(settings.data.tokenizer)
    first = Path(settings.data.train[0])
    return (first if first.is_dir() else first.parent) / "tokenizer"
