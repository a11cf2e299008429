"""The embedded data set's splits: where each is kept, and making those that are not there yet."""

from pathlib import Path

from interbert.config import SceneSettings
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
            write_scenes(path, images, scenes.seed, split=split, feature_width=scenes.feature_width)
    return str(scene_store(scenes, "train")), str(scene_store(scenes, "validation"))


def make_examples(scenes: SceneSettings) -> tuple[str, str]:
    """Writes the examples that are not there yet; returns those to train and those to be judged on."""
    from interbert.sources.scenes.worlds.write import write_examples

    Path(scenes.folder).mkdir(parents=True, exist_ok=True)
    made = []
    for split, count in (("train", scenes.train_examples), ("validation", scenes.validation_examples)):
        path = scene_examples(scenes, split, count)
        if not path.exists():
            print(f"writing {path}", flush=True)
            write_examples(path, scenes.world, count, scene_images(scenes)[split], scenes.seed, split)
        made.append(str(path))
    return made[0], made[1]


def scene_images(scenes: SceneSettings) -> dict[Split, int]:
    return {"train": scenes.train_images, "validation": scenes.validation_images, "test": scenes.test_images}


def scene_store(scenes: SceneSettings, split: str) -> Path:
    """The name tells all that decides the content, so a changed setting never meets another one's file."""
    images = scene_images(scenes)[split]
    return Path(scenes.folder) / f"{split}_{images}x{scenes.feature_width}_seed{scenes.seed}.h5"


def scene_examples(scenes: SceneSettings, split: str, count: int) -> Path:
    images = scene_images(scenes)[split]
    return Path(scenes.folder) / f"{scenes.world}_{split}_{count}of{images}_seed{scenes.seed}.jsonl"
