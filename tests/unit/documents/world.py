"""The folder of a reader who has everything that the documents speak of, as small as it may be."""

import base64
import json
import shutil
from pathlib import Path
from unittest.mock import patch

import foreign
import numpy as np
import picture_files
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertTokenizerFast,
    VisualBertConfig,
    VisualBertForPreTraining,
)
from uniter_model import Uniter
from volta_model import Volta, configuration

from interbert.ab.experiment import EVERYONE
from interbert.ab.record import Record
from interbert.corpus.corpus import Corpus
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.loading import load_ours
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import TaskShape
from interbert.model.task_head import InterBertFineTuned
from interbert.sources.scenes.tongues import vocabulary_of
from interbert.sources.scenes.write import write_scenes
from interbert.tasks.finetuning.starting import shape_with_head
from interbert.tokenizer import load_tokenizer
from tests.unit.documents.chinese_world import fill_chinese
from tests.unit.documents.official_world import fill_official
from tests.unit.documents.text import ROOT, blocks
from tests.unit.sources.test_extract import detr

WIDTH = 32
"""Of the features of the detector in test_extract, so that whatever is scored together fits together."""
OF_SCENES = 256
"""Where a command does not say another."""
CLASSES = 49
"""Of the embedded detector, which runs/mine/export knows."""
RELEASED = ROOT / "tests" / "data" / "released_tiny.safetensors"


def fill(folder: Path) -> None:
    for name in ("launch", "ds_configs", "benchmarks", "tests", "Makefile"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "launch" / "hostfile.example", folder / "hosts")
    _stores(folder)
    _foreign(folder)
    _images(folder)
    _run(folder / "runs" / "mine" / "export", load_tokenizer(folder / "shards" / "tokenizer"))
    for name in ("scenes", "base", "interbert", "imagebert_base"):
        shutil.copytree(folder / "runs" / "mine" / "export", folder / "runs" / name / "export")
    _run(
        folder / "tour" / "pretrained" / "export", load_tokenizer(folder / "shards" / "tokenizer"), OF_SCENES
    )
    searching = {"prediction_heads": ["match", "search"]}
    _run(
        folder / "runs" / "scenes_distill" / "export",
        load_tokenizer(folder / "shards" / "tokenizer"),
        **searching,
    )
    _runs(folder / "runs")
    (trackers,) = blocks((ROOT / "docs" / "trackers.md").read_text(), "python")
    (folder / "trackers.py").write_text(trackers)
    (encoder,) = blocks((ROOT / "docs" / "own_images.md").read_text(), "python")
    (folder / "encoder.py").write_text(encoder)
    _examples(folder)
    fill_official(folder, WIDTH, CLASSES)
    _released_and_bert(folder)
    _others(folder)
    fill_chinese(folder, WIDTH)
    Record(folder / "events", EVERYONE.told(), {"all": str(folder / "index")}).close()


def _runs(folder: Path) -> None:
    """What a run leaves of how it went."""
    for name in ("first", "second"):
        (folder / name).mkdir(exist_ok=True)
        for file in ("config.yaml", "status.json", "metrics.jsonl"):
            shutil.copy(ROOT / "tests" / "data" / "earlier_run" / "run" / file, folder / name)
        started = {"launcher": "deepspeed", "ranks": 2, "command": ["launch/pretrain.py", "--recipe", name]}
        (folder / name / "environment.json").write_text(json.dumps(started))


def _examples(folder: Path) -> None:
    """And a model that was tuned on such."""
    with Corpus([folder / "features.h5"]) as corpus:
        lines = [
            {"id": n, "images": [corpus.image_id(n)], "texts": [corpus.caption_text(n)], "label": "ab"[n % 2]}
            for n in range(12)
        ]
    for name in ("train", "val", "test"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    begun, tuned = folder / "runs" / "mine" / "export", folder / "runs" / "classes" / "export"
    head = TaskShape("classify", classes=["a", "b"])
    config = InterBertConfig(**shape_with_head(load_ours(begun).config, head))
    InterBertFineTuned.from_seed(config, 1).save_pretrained(tuned)
    load_tokenizer(begun).save(tuned)


def _stores(folder: Path) -> None:
    for name, images, seed in (("shards/a.h5", 30, 1), ("shards/b.h5", 30, 2), ("heldout.h5", 12, 3)):
        write_scenes(folder / "shards" / Path(name).name, images, seed, feature_width=WIDTH)
    (folder / "shards" / "heldout.h5").rename(folder / "heldout.h5")
    shutil.copy(folder / "heldout.h5", folder / "flickr30k_test.h5")
    with Corpus([folder / "heldout.h5"]) as corpus:
        vectors = {name: np.eye(getattr(corpus, name), 8) for name in ("images", "captions")}
    np.savez(folder / "vectors.npz", **vectors)
    (folder / "data").mkdir()
    for copy in ("features.h5", "data/train.h5", "flickr30k_train.h5"):
        shutil.copy(folder / "shards" / "a.h5", folder / copy)


def _foreign(folder: Path) -> None:
    with patch.object(foreign, "WIDTH", WIDTH):
        made = foreign.images()
    foreign.write_tsv(folder / "trainval_36.tsv", made)
    foreign.write_tensorpack(folder / "training_feat_all.lmdb", made)
    foreign.write_vilbert(folder / "flickr30k.lmdb", made)
    images = [
        {
            "filename": f"{image.name}.jpg",
            "split": "train",
            "sentences": [{"raw": image.caption}, {"raw": "a thing"}],
        }
        for image in made
    ]
    for name in ("dataset.json", "dataset_flickr30k.json"):
        (folder / name).write_text(json.dumps({"dataset": "flickr30k", "images": images}))


def _images(folder: Path) -> None:
    (folder / "photos").mkdir()
    for name, size in (("cat", (90, 60)), ("dog", (60, 80))):
        Image.effect_noise(size, 60).convert("RGB").save(folder / "photos" / f"{name}.jpg")
    shutil.copy(folder / "photos" / "cat.jpg", folder / "cat.jpg")
    picture_files.write_zip(folder / "photos", picture_files.pictures(3))
    for number in range(2):
        files = picture_files.with_captions(picture_files.pictures(number + 1)[number:])
        picture_files.write_tar(folder / "shards" / f"0000{number}.tar", files)
    images = [path.read_bytes() for path in sorted((folder / "photos").glob("*.jpg"))]
    lines = [b"%d\ta picture\t%s\n" % (n, base64.b64encode(one)) for n, one in enumerate(images)]
    (folder / "images.tsv").write_bytes(b"".join(lines))
    (folder / "captions.csv").write_text("image_id,caption\ncat,a cat on a mat\ndog,a dog\n")
    detr(folder / "facebook" / "detr-resnet-50")


def _run(export: Path, tokenizer, width: int = WIDTH, **fields) -> None:
    sizes = {"vocab_size": tokenizer.vocab_size, "feature_width": width, "classes": CLASSES, **fields}
    InterBertForPreTraining(InterBertConfig.from_preset("tiny", **sizes)).save_pretrained(export)
    tokenizer.save(export)


def _others(folder: Path) -> None:
    """VisualBERT, UNITER and one of VOLTA's, with the words of the BERT that is there; and ours that can go out."""
    words = load_tokenizer(folder / "bert-base-uncased").vocab_size
    sizes = {"vocab_size": words, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 40, "max_position_embeddings": 64}
    shutil.copytree(folder / "bert-base-uncased", folder / "bert-base-cased")
    visual = folder / "visualbert-nlvr2-coco-pre"
    VisualBertForPreTraining(VisualBertConfig(**sizes, visual_embedding_dim=WIDTH)).save_pretrained(visual)
    load_tokenizer(folder / "bert-base-uncased").save(visual)
    torch.save(Uniter(sizes, WIDTH, CLASSES).state_dict(), folder / "uniter-base.pt")
    (folder / "uniter-base.json").write_text(json.dumps(sizes))
    volta = configuration("uniter", ["joint", "joint"], words)
    torch.save(Volta(volta).state_dict(), folder / "pytorch_model_9.bin")
    (folder / "ctrl_uniter_base.json").write_text(json.dumps(volta))
    export, tokenizer = (
        folder / "runs" / "visualbert_base" / "export",
        load_tokenizer(folder / "runs/mine/export"),
    )
    fields = {
        "vocab_size": tokenizer.vocab_size,
        "feature_width": WIDTH,
        "classes": CLASSES,
        "image_norm": "text",
    }
    InterBertForPreTraining(InterBertConfig.from_preset("tiny", "visualbert", **fields)).save_pretrained(
        export
    )
    tokenizer.save(export)


def _released_and_bert(folder: Path) -> None:
    with safe_open(RELEASED, "pt") as file:
        config = json.loads(file.metadata()["config"])
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(RELEASED)
    for start, file in (("pretrain.", "pytorch_model.bin"), ("vltasks.", "vcr.bin")):
        own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
        torch.save(own, folder / file)
    bert, words = folder / "bert-base-uncased", config["vocab_size"]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertForPreTraining(BertConfig(vocab_size=words, **sizes)).save_pretrained(bert)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*special, *".,?!'-0123456789", *letters, *(f"##{one}" for one in letters)]
    own = list(dict.fromkeys([*pieces, *vocabulary_of("en")]))[:words]
    vocabulary = {word: n for n, word in enumerate([*own, *(f"w{n}" for n in range(words - len(own)))])}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(bert)
    (bert / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
