"""The data that a recipe asks for: named by it, or made here where the recipe makes its own."""

from pathlib import Path

from interbert.config import Settings, SettingsError
from interbert.ranks.distributed import Ranks
from interbert.sources.scenes.splits import make_scenes


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


def tokenizer_folder(settings: Settings) -> Path:
    if settings.data.tokenizer:
        return Path(settings.data.tokenizer)
    first = Path(settings.data.train[0])
    return (first if first.is_dir() else first.parent) / "tokenizer"
