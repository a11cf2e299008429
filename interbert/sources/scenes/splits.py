"""The embedded data set's splits: where each is kept, and making those that are not there yet."""

from pathlib import Path

from interbert.config import SceneSettings


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


def scene_images(scenes: SceneSettings) -> dict[str, int]:
    return {"train": scenes.train_images, "validation": scenes.validation_images, "test": scenes.test_images}


def scene_store(scenes: SceneSettings, split: str) -> Path:
    """The name tells all that decides the content, so a changed setting never meets another one's file."""
    images = scene_images(scenes)[split]
    return Path(scenes.folder) / f"{split}_{images}x{scenes.feature_width}_seed{scenes.seed}.h5"
