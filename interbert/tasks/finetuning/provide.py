"""The examples that a recipe makes itself: about the embedded scenes."""

from interbert.config import Settings, SettingsError
from interbert.ranks.distributed import Ranks
from interbert.sources.scenes.splits import examples_of, make_examples, make_scenes


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
