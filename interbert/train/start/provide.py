"""The data that a recipe asks for: named by it, or made here where the recipe makes its own."""

from pathlib import Path

from interbert.config import Settings, SettingsError
from interbert.ranks.distributed import Ranks
from interbert.sources.scenes.splits import examples_of, make_examples, make_scenes


def require_data(settings: Settings) -> None:
    """Refuses a recipe that neither names data nor makes any."""
    if not settings.data.train and settings.scenes is None:
        raise SettingsError(f"recipe {settings.name!r} needs data: give --data STORE or DIRECTORY")


def provide_data(settings: Settings, ranks: Ranks) -> Settings:
    """The settings with their stores named; a recipe with `scenes` makes its own where none was given."""
    require_data(settings)
    data = settings.data
    if not data.train:
        train, validation = ranks.main_only(lambda: make_scenes(settings.scenes))
        data = data.model_copy(update={"train": [train], "validation": data.validation or [validation]})
    return settings.model_copy(update={"data": data})


def name_examples(settings: Settings) -> Settings:
    """A recipe of an embedded task has its examples named from the start, although they may not be there yet."""
    task, scenes = settings.task, settings.scenes
    if task is None or scenes is None or scenes.world is None or task.examples is not None:
        return settings
    if settings.data.train:
        raise SettingsError(
            f"recipe {settings.name!r} asks about scenes of its own: give --examples FILE beside --data, or leave "
            "both out"
        )
    train, validation = examples_of(scenes)
    named = {"examples": train, "validation": task.validation or validation}
    return settings.model_copy(update={"task": task.model_copy(update=named)})


def provide_examples(settings: Settings, ranks: Ranks) -> Settings:
    """The same as provide_data where `scenes` has a world: its examples, and the stores that hold their images."""
    data, scenes = settings.data, settings.scenes
    if settings.task.examples != examples_of(scenes)[0]:
        return settings
    ranks.main_only(lambda: make_examples(scenes))
    if scenes.world != "text" and not data.train:
        stores = ranks.main_only(lambda: make_scenes(scenes))
        data = data.model_copy(update={"train": list(stores)})
    return settings.model_copy(update={"data": data})


def tokenizer_folder(settings: Settings) -> Path:
    if settings.data.tokenizer:
        return Path(settings.data.tokenizer)
    first = Path(settings.data.train[0])
    return (first if first.is_dir() else first.parent) / "tokenizer"
