"""The embedded data set's splits: where each is kept, and making those that are not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interbert.config import SceneSettings

if TYPE_CHECKING:  # light to import: a command asks for names before anything is made
    from interbert.sources.scenes.world import Split


def make_scenes(scenes: SceneSettings) -> tuple[str, str]:
    """Writes the splits that are not there yet; returns the training and the validation store."""
    from interbert.sources.scenes.write import write_scenes

    folder = Path(scenes.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for split, images in scene_images(scenes).items():
        path = scene_store(scenes, split)
        if not path.exists():
            print(f"writing {path}", flush=True)
            write_scenes(
                path,
                images,
                scenes.seed,
                split=split,
                feature_width=scenes.feature_width,
                language=scenes.language,
            )
    return str(scene_store(scenes, "train")), str(scene_store(scenes, "validation"))


def make_examples(scenes: SceneSettings) -> None:
    """Writes the examples that are not there yet, to train and to be judged on, and their words."""
    from interbert.sources.scenes.worlds.write import write_examples
    from interbert.sources.scenes.write import write_words

    folder = Path(scenes.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in example_counts(scenes).items():
        path = scene_examples(scenes, split)
        if not path.exists():
            print(f"writing {path}", flush=True)
            write_examples(path, scenes.world, count, scene_images(scenes)[split], scenes.seed, split)
    write_words(folder)


def examples_of(scenes: SceneSettings) -> tuple[str, str]:
    """Where those to train and those to be judged on are, or will be."""
    return str(scene_examples(scenes, "train")), str(scene_examples(scenes, "validation"))


def example_counts(scenes: SceneSettings) -> dict[Split, int]:
    return {"train": scenes.train_examples, "validation": scenes.validation_examples}


def scene_images(scenes: SceneSettings) -> dict[Split, int]:
    return {"train": scenes.train_images, "validation": scenes.validation_images, "test": scenes.test_images}


def scene_store(scenes: SceneSettings, split: str) -> Path:
    """The name tells all that decides the content, so a changed setting never meets another one's file."""
    images = scene_images(scenes)[split]
    spoken = "" if scenes.language == "en" else f"_{scenes.language}"
    return Path(scenes.folder) / f"{split}_{images}x{scenes.feature_width}_seed{scenes.seed}{spoken}.h5"


def scene_examples(scenes: SceneSettings, split: Split) -> Path:
    images, count = scene_images(scenes)[split], example_counts(scenes)[split]
    return Path(scenes.folder) / f"{scenes.world}_{split}_{count}of{images}_seed{scenes.seed}.jsonl"
