"""Data that holds its detector's last layer: targets are those of stored distributions."""

import numpy as np
import torch

from interbert.batches.endless import Position
from interbert.corpus.corpus import Corpus
from interbert.ranks.distributed import Ranks
from interbert.recipe import load_recipe
from interbert.sources.scenes.write import write_scenes
from interbert.store.writer import StoreWriter
from interbert.tasks.pretraining.class_head import class_head_of
from interbert.tasks.pretraining.task import open_pretraining
from interbert.train.engine.upload import Upload

ONE_RANK = Ranks(0, 1, 0, torch.device("cpu"), "test")


def with_class_head(source, path, classes=5, width=16):
    rng = np.random.default_rng(0)
    weight, bias = (
        rng.normal(size=(classes, width)).astype(np.float32),
        rng.normal(size=classes).astype(np.float32),
    )
    with (
        Corpus([source]) as corpus,
        StoreWriter(path, width, classes=classes, evidence="class_head") as writer,
    ):
        writer.set_class_head(weight, bias)
        for image in range(corpus.images):
            rows = int(corpus.region_counts[image])
            features, boxes = np.empty((rows, width), np.float16), np.empty((rows, 4), np.float32)
            corpus.read(np.array([image]), np.array([rows]), features, boxes)
            size = corpus.sizes[image]
            number = writer.add_image(corpus.image_id(image), int(size[0]), int(size[1]), boxes, features)
            captions = np.flatnonzero(corpus.caption_image[: corpus.captions] == image)
            writer.add_captions(number, [corpus.caption_text(int(c)) for c in captions])
    return torch.from_numpy(weight), torch.from_numpy(bias)


def test_targets_are_computed_for_masked_regions(tmp_path):
    write_scenes(tmp_path / "scenes.h5", 24, seed=1, feature_width=16)
    weight, bias = with_class_head(tmp_path / "scenes.h5", tmp_path / "head.h5")
    sets = ["data.token_budget=512", "train.micro_batches=2"]
    settings = load_recipe("scenes", sets, data={"train": [str(tmp_path / "head.h5")]})
    task = open_pretraining(settings, ONE_RANK)
    head = task.finisher()
    with task.loader(settings, task.plan(settings, ONE_RANK), ONE_RANK, Position()) as loader:
        raw = next(loader).batches
        for batch, there in zip(raw, Upload(torch.device("cpu"), head)(raw), strict=True):
            assert batch.class_probs_NK is None
            features = batch.features_RD[batch.masked_regions_N].float()
            expected = (features @ weight.t() + bias).softmax(-1)
            torch.testing.assert_close(there.class_probs_NK, expected)
            assert torch.equal(there.class_labels_N, expected.argmax(-1)) and len(there.class_labels_N) > 0
    assert class_head_of(task.corpus, load_recipe("scenes", ["objectives={msm: 1.0}"])) is None
