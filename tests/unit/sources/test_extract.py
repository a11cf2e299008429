"""Small random vision models, as transformers builds them, over images that are drawn here."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import picture_files
import pytest
import torch
from nursery import run_forked
from PIL import Image
from transformers import (
    AutoImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessor,
    ResNetConfig,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessor,
)

from interbert import __main__ as program
from interbert.corpus.corpus import Corpus
from interbert.sources.images.vision import Choice, load_vision, with_no_object
from interbert.store.verify import verify

SIZES = [(120, 80), (60, 90), (64, 64), (200, 50), (90, 90), (77, 61), (50, 120)]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    (folder / "deep").mkdir()
    for number, (width, height) in enumerate(SIZES):
        pixels = rng.integers(0, 255, (height // 10 + 1, width // 10 + 1, 3), dtype=np.uint8)
        name = f"deep/{number}.png" if number % 2 else f"{number}.jpg"
        Image.fromarray(pixels).resize((width, height)).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    return folder


def detr(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage4"],
    )  # fmt: skip
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=32,
        encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=20, num_labels=4,
        **heads,
    )  # fmt: skip
    DetrForObjectDetection(config).save_pretrained(folder)
    DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    return folder


def yolos(folder: Path) -> Path:
    torch.manual_seed(0)
    config = YolosConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=[64, 64],
        patch_size=16, num_detection_tokens=20, num_labels=4,
    )  # fmt: skip
    YolosForObjectDetection(config).save_pretrained(folder)
    YolosImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def vit(folder: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(**sizes, image_size=96, patch_size=8)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 96, "width": 96}).save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=96, patch_size=8)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 96, "width": 96}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return detr(tmp_path_factory.mktemp("detr"))


def run(*words: object, code: int = 0) -> None:
    assert program.main([*map(str, words)]) == code


def extract(images: Path, model: Path, output: Path, *more: object, code: int = 0) -> None:
    run("extract", "--images", images, "--model", model, "--output", output, "--batch", 3, *more, code=code)


@pytest.mark.parametrize("make", [detr, yolos])
def test_regions_are_the_surest_queries_of_the_detector(make, images, tmp_path):
    folder = make(tmp_path / "model")
    extract(images, folder, tmp_path / "a.h5", "--regions", "5:12", "--confidence", 0.3)
    assert verify(tmp_path / "a.h5").ok
    theirs = (DetrForObjectDetection if make is detr else YolosForObjectDetection).from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    with Corpus([tmp_path / "a.h5"]) as corpus:
        assert corpus.images == len(SIZES) and corpus.classes == 5
        assert corpus.class_names[-1] == "no object"
        # In its batch an image is what it is alone.
        for number in (0, 3):
            name = f"deep/{number}" if number % 2 else f"{number}"
            image = [corpus.image_id(i) for i in range(corpus.images)].index(name)
            count = int(corpus.region_counts[image])
            features, boxes = corpus.read([image], [count])
            probs, _ = corpus.read_evidence(np.full(count, image), np.arange(count))
            picture = Image.open(images / f"{name}.{'png' if number % 2 else 'jpg'}").convert("RGB")
            with torch.no_grad():
                output = theirs.eval()(**processor(images=[picture], return_tensors="pt"))
            found = output.logits[0].softmax(-1)
            sure = found[:, :-1].max(-1).values
            order = sure.argsort(descending=True, stable=True)
            assert count == min(max(int((sure >= 0.3).sum()), 5), 12)
            hidden = output.last_hidden_state[0, -20:]
            np.testing.assert_allclose(features, hidden[order[:count]], atol=2e-2)
            np.testing.assert_allclose(probs, found[order[:count]], atol=5e-3)
            x, y, w, h = output.pred_boxes[0][order[:count]].unbind(1)
            expected = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1).clamp(0, 1)
            expected = expected * torch.tensor([*SIZES[number], *SIZES[number]])
            np.testing.assert_allclose(boxes, expected, atol=0.5)
            assert tuple(corpus.sizes[image]) == SIZES[number]


@pytest.mark.parametrize("make", [vit, clip])
def test_an_encoders_patches_become_cells_of_a_grid(make, images, tmp_path):
    folder = make(tmp_path / "model")
    extract(images, folder, tmp_path / "a.h5", "--grid", 4)
    theirs = (ViTModel if make is vit else CLIPVisionModel).from_pretrained(folder)
    with Corpus([tmp_path / "a.h5"]) as corpus:
        assert corpus.evidence is None and (corpus.region_counts == 16).all()
        assert corpus.image_id(0) == "0" and tuple(corpus.sizes[0]) == SIZES[0]
        features, boxes = corpus.read([0], [16])
    pixels = AutoImageProcessor.from_pretrained(folder)(
        images=[Image.open(images / "0.jpg").convert("RGB")], return_tensors="pt"
    )["pixel_values"]
    with torch.no_grad():
        patches = theirs.eval()(pixel_values=pixels).last_hidden_state[0, 1:]
    cells = patches.reshape(4, 3, 4, 3, 32).mean(dim=(1, 3)).reshape(16, 32)
    np.testing.assert_allclose(features, cells, atol=2e-2)
    assert boxes[0].tolist() == [0, 0, 30, 20] and boxes[5].tolist() == [30, 20, 60, 40]
    assert boxes[15].tolist() == [90, 60, 120, 80]


def test_a_detector_without_a_logit_for_nothing():
    logits = torch.tensor([[[-9.0, -9.0], [9.0, -9.0], [9.0, 9.0]]])
    probs = with_no_object(logits, 3)
    torch.testing.assert_close(probs.sum(-1), torch.ones(1, 3))
    assert probs[0].argmax(-1).tolist()[:2] == [2, 0] and probs[0, 2, 2] < 0.01


def test_broken_images_are_named_and_skipped_on_request(images, detector, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for path in ("0.jpg", "2.jpg", "4.jpg"):
        (folder / path).write_bytes((images / path).read_bytes())
    (folder / "1.jpg").write_bytes((images / "0.jpg").read_bytes()[:300])
    extract(folder, detector, tmp_path / "a.h5", code=2)
    said = capsys.readouterr().err
    assert f"{folder}/1.jpg, image '1': not a readable image" in said and "--skip-bad" in said
    extract(folder, detector, tmp_path / "a.h5", "--skip-bad", 1)
    with Corpus([tmp_path / "a.h5"]) as corpus:
        assert [corpus.image_id(i) for i in range(corpus.images)] == ["0", "2", "4"]
    assert "1.jpg" in json.loads((tmp_path / "a.import.json").read_text())["bad_rows"][0]


def test_a_store_tells_its_encoder_wherever_that_lies(images, tmp_path):
    first = vit(tmp_path / "first")
    ViTModel.from_pretrained(first).save_pretrained(tmp_path / "moved")
    ViTImageProcessor.from_pretrained(first).save_pretrained(tmp_path / "moved")
    torch.manual_seed(1)
    other = tmp_path / "other"
    ViTModel(ViTModel.from_pretrained(first).config).save_pretrained(other)
    ViTImageProcessor.from_pretrained(first).save_pretrained(other)
    pale = tmp_path / "pale"
    ViTModel.from_pretrained(first).save_pretrained(pale)
    ViTImageProcessor(size={"height": 96, "width": 96}, image_mean=[0.1, 0.2, 0.3]).save_pretrained(pale)
    told = {}
    for folder in (first, tmp_path / "moved", other, pale):
        extract(images, folder, tmp_path / f"{folder.name}.h5")
        with Corpus([tmp_path / f"{folder.name}.h5"]) as corpus:
            name, _, told[folder.name] = corpus.features_of.rpartition("@")
            assert name == folder.name
    assert told["first"] == told["moved"] and len(set(told.values())) == 3


def test_what_threads_prepare_is_what_one_computes(images, detector, tmp_path):
    for threads in (1, 4):
        extract(images, detector, tmp_path / f"{threads}.h5", "--threads", threads)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "4.h5").read_bytes()


def test_a_tar_with_captions_and_how_fast_it_was(images, detector, tmp_path, capsys):
    files = ((path.name, path.read_bytes()) for path in sorted(images.glob("*.jpg")))
    picture_files.write_tar(tmp_path / "a.tar", [*files, ("0.txt", b"a caption\nand another")])
    extract(tmp_path / "a.tar", detector, tmp_path / "a.h5")
    said = capsys.readouterr().out
    assert "a.tar: captions beside 1 of 4 images" in said and "images/s; " in said
    extract(tmp_path / "a.tar", detector, tmp_path / "b.h5", "--ignore-beside")
    for name, captions in (("a", ["a caption", "and another"]), ("b", [])):
        with Corpus([tmp_path / f"{name}.h5"]) as corpus:
            assert [corpus.image_id(i) for i in range(4)] == ["0", "2", "4", "6"]
            assert list(corpus.texts()) == captions and not corpus.caption_image.any()
    extract(tmp_path / "a.tar", detector, tmp_path / "c.h5", "--max-megapixels", 0.008, code=2)
    assert "a.tar, 0.jpg, image '0': 120 x 80 pixels by its header" in capsys.readouterr().err


def test_killed_and_continued(images, detector, tmp_path):
    words = ["extract", "--images", str(images), "--model", str(detector), "--batch", "1"]
    words += ["--output", str(tmp_path / "a"), "--shard-gb", "1e-6"]
    script = (
        "import os, signal\n"
        "from interbert import __main__ as program\n"
        "from interbert.sources.images import source\n"
        "read = source.ImageSource.read\n"
        "def die(self, number):\n"
        "    if self.where(number).endswith('3.png'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return read(self, number)\n"
        "source.ImageSource.read = die\n"
        f"program.main({words!r})\n"
    )
    code, said = run_forked(["-c", script])
    assert code == -signal.SIGKILL, said
    shards = sorted((tmp_path / ".a.partial").glob("shard*.h5"))
    times = [path.stat().st_mtime_ns for path in shards]
    assert shards and not (tmp_path / "a").exists()
    run(*words)
    now = sorted((tmp_path / "a").glob("*.h5"))
    assert [path.stat().st_mtime_ns for path in now[: len(times)]] == times
    with Corpus([tmp_path / "a"]) as corpus:
        assert corpus.images == len(SIZES)


def test_what_cannot_be(images, detector, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for words, message in (
        ((tmp_path / "empty", detector), "no image there"),
        ((tmp_path / "none", detector), "no such file or folder"),
        ((images, tmp_path / "empty"), "not a vision model"),
        ((images, detector, "--regions", "9"), "write it as MIN:MAX"),
    ):
        extract(*words[:2], tmp_path / "x.h5", *words[2:], code=2)
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="12 patches a side; --grid 13"):
        load_vision(vit(tmp_path / "vit"), Choice(grid=13), torch.device("cpu"))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    """A small InterBERT for features as wide as the detectors' here."""
    from interbert.model import InterBertConfig, InterBertForPreTraining
    from interbert.sources.scenes.wording import vocabulary
    from interbert.tokenizer import load_tokenizer, write_word_vocabulary

    folder = tmp_path_factory.mktemp("scorer")
    write_word_vocabulary(vocabulary(), folder)
    words = load_tokenizer(folder).vocab_size
    config = InterBertConfig.from_preset("tiny", vocab_size=words, feature_width=32, classes=5)
    InterBertForPreTraining.from_seed(config, 0).save_pretrained(folder)
    return folder


SENTENCES = ("--text", "a red ball", "--text", "two blue cubes left of a ring")


def test_an_image_scores_the_same_from_its_file_and_from_a_store(images, detector, scorer, tmp_path, capsys):
    extract(images / "deep", detector, tmp_path / "a.h5", "--batch", 1)
    capsys.readouterr()
    own = ("--image", images / "deep" / "3.png", "--detector", detector)
    run("score", "--model", scorer, *own, *SENTENCES, "--json")
    from_file = json.loads(capsys.readouterr().out)
    stored = ("--data", tmp_path / "a.h5", "--image-id", "3")
    run("score", "--model", scorer, *stored, *SENTENCES, "--json")
    from_store = json.loads(capsys.readouterr().out)
    assert [row["text"] for row in from_file] == list(SENTENCES[1::2])
    for ours, theirs in zip(from_file, from_store, strict=True):
        assert 0 < ours["match_probability"] < 1
        assert ours["match_probability"] == pytest.approx(theirs["match_probability"], abs=1e-5)
    assert from_file[0]["match_probability"] != from_file[1]["match_probability"]
    run("score", "--model", scorer, *stored, *SENTENCES)
    assert capsys.readouterr().out.count("%") == 2


def test_what_cannot_be_scored(images, scorer, tmp_path, capsys):
    own = ("--image", images / "0.jpg", "--detector", vit(tmp_path / "vit"))
    for words, message in (
        (("--image", images / "0.jpg"), "with --detector DIR"),
        (("--image", images / "notes.txt", *own[2:]), "notes.txt: not a readable image"),
        ((), "or --data STORE with --image-id ID"),
    ):
        run("score", "--model", scorer, *words, *SENTENCES, code=2)
        assert message in capsys.readouterr().err
    config = json.loads((scorer / "config.json").read_text())
    assert config["feature_width"] == 32 and config["features_of"] is None
    shutil.copytree(scorer, tmp_path / "of another")
    (tmp_path / "of another" / "config.json").write_text(json.dumps(config | {"features_of": "vit@12ab"}))
    run("score", "--model", tmp_path / "of another", *own, *SENTENCES, code=2)
    assert "was trained on features of vit@12ab, those of the image are of vit@" in capsys.readouterr().err
    other = tmp_path / "wide"
    from interbert.model import InterBertConfig, InterBertForPreTraining
    from interbert.tokenizer import load_tokenizer

    load_tokenizer(scorer).save(other)
    wide = InterBertConfig.from_preset("tiny", vocab_size=config["vocab_size"], feature_width=48, classes=5)
    InterBertForPreTraining.from_seed(wide, 0).save_pretrained(other)
    run("score", "--model", other, *own, *SENTENCES, code=2)
    assert "features are 32 wide, the model takes 48" in capsys.readouterr().err
