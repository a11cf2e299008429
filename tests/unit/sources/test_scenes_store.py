"""Stores of scenes: same bytes, prefixes, kinds and swapped captions, the command and the picture."""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interbert.commands import scenes as command
from interbert.sources.scenes.detector import CLASS_NAMES
from interbert.sources.scenes.picture import recall, render, scene_background
from interbert.sources.scenes.world import WINDOW, describe, sample_window
from interbert.sources.scenes.write import write_scenes
from interbert.store.store import Store
from interbert.store.verify import verify
from interbert.tokenizer import load_tokenizer


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "small.h5"
    write_scenes(path, 300, seed=5, split="test", feature_width=32, swapped=2)
    return path


def test_the_same_options_give_the_same_bytes(small, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 0.0)
    write_scenes(tmp_path / "again.h5", 300, seed=5, split="test", feature_width=32, swapped=2)
    assert digest(tmp_path / "again.h5") == digest(small)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        assert digest(tmp_path / "tokenizer" / name) == digest(small.parent / "tokenizer" / name)
    write_scenes(tmp_path / "other.h5", 300, seed=6, split="test", feature_width=32, swapped=2)
    with Store(small) as first, Store(tmp_path / "other.h5") as second:
        assert first.caption_text(0) != second.caption_text(0)


def test_the_store_verifies_and_says_what_it_holds(small):
    assert verify(small).ok
    with Store(small) as store:
        assert (store.images, store.captions, store.feature_width) == (300, 1500, 32)
        assert store.evidence == "class_probs" and store.class_names == list(CLASS_NAMES)
        assert store.source == "scenes seed=5 split=test regions=6:14"
        assert (store.caption_kind.reshape(300, 5) == [1, 0, 0, 0, 0]).all()
        assert (store.caption_image == np.repeat(np.arange(300), 5)).all()
        assert len(store.swapped_caption) == 600
        assert (store.caption_image[store.swapped_caption] == np.repeat(np.arange(300), 2)).all()
        assert store.swapped_text(0) != store.caption_text(int(store.swapped_caption[0]))


def test_a_small_file_is_the_beginning_of_a_larger_one(small, tmp_path):
    write_scenes(tmp_path / "few.h5", 20, seed=5, split="test", feature_width=32)
    with Store(tmp_path / "few.h5") as few, Store(small) as many:
        end = int(few.offsets[-1])
        for dataset in ("features", "boxes", "class_probs"):
            assert np.array_equal(few.read_rows(dataset, 0, end), many.read_rows(dataset, 0, end))
        assert few.image_ids == many.image_ids[:20]
        assert [few.caption_text(i) for i in range(100)] == [many.caption_text(i) for i in range(100)]


def test_a_file_may_go_on_into_another_window(tmp_path):
    write_scenes(tmp_path / "long.h5", WINDOW + 3, seed=1, feature_width=1, captions=1)
    with Store(tmp_path / "long.h5") as store:
        assert store.images == WINDOW + 3
        name = store.image_id(WINDOW + 2)
        assert store.caption_text(WINDOW + 2) == recall(name, captions=1).told.captions[0].text


def test_a_noisy_store_says_so(tmp_path):
    write_scenes(tmp_path / "noisy.h5", 40, seed=5, split="test", feature_width=4, captions=2, noise=0.5)
    with Store(tmp_path / "noisy.h5") as store:
        assert store.source == "scenes seed=5 split=test regions=6:14 noise=0.5"
        kinds = store.caption_kind.reshape(40, 2)
        assert 8 < kinds[:, 0].sum() < 32 and not kinds[:, 1].any()
        for image in range(40):
            told = recall(store.image_id(image), captions=2, noise=0.5).told
            assert [c.text for c in told.captions] == [store.caption_text(2 * image + i) for i in range(2)]
            assert bool(kinds[image, 0]) != told.noisy[0]
    with pytest.raises(ValueError, match="from 0 to 1"):
        write_scenes(tmp_path / "x.h5", 2, seed=5, noise=1.5)
    with pytest.raises(ValueError, match="swapped or noise, not both"):
        write_scenes(tmp_path / "x.h5", 2, seed=5, noise=0.5, swapped=1)


def test_a_tokenizer_that_is_there_stays(small, tmp_path):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "mine.txt").write_text("mine")
    write_scenes(tmp_path / "x.h5", 2, seed=1, feature_width=4)
    assert [path.name for path in (tmp_path / "tokenizer").iterdir()] == ["mine.txt"]


def test_no_caption_holds_an_unknown_word(small):
    tokenizer = load_tokenizer(small.parent / "tokenizer")
    with Store(small) as store:
        texts = [store.caption_text(i) for i in range(store.captions)]
        texts += [store.swapped_text(i) for i in range(len(store.swapped_caption))]
    encoded = tokenizer.encode(texts, 36)
    assert not any(tokenizer.unk_id in ids for ids in encoded)
    assert max(map(len, encoded)) <= 36 and all(ids[-1] == tokenizer.sep_id for ids in encoded)
    assert not any(piece.startswith("##") for ids in encoded for piece in tokenizer.words(ids))
    assert tokenizer.fast.decode(encoded[0], skip_special_tokens=True) == texts[0]


def test_a_scene_is_drawn_again_from_its_id_alone(small):
    with Store(small) as store:
        for image in (0, 141, 299):
            known = recall(store.image_id(image), swapped=2)
            rows = store.offsets[image], store.offsets[image + 1]
            assert np.array_equal(known.boxes_R4, store.read_rows("boxes", *rows))
            assert np.array_equal(known.class_probs_RK, store.read_rows("class_probs", *rows))
            stored = [store.caption_text(5 * image + i) for i in range(5)]
            assert [caption.text for caption in known.told.captions] == stored
            stored = [store.swapped_text(2 * image + i) for i in range(2)]
            assert [caption.text for _, caption in known.told.swapped] == stored


def test_objects_are_drawn_in_their_colours_at_their_places():
    painted = {"red": (214, 48, 49), "blue": (41, 98, 214), "green": (39, 150, 82)}
    scene_of = sample_window(5, "test", 0).scene
    checked = 0
    for row in range(20):
        scene = scene_of(row)
        pixels = np.asarray(render(scene))
        assert pixels.shape == (scene.height, scene.width, 3)
        for kind, (x1, y1, x2, y2) in zip(scene.kinds, scene.boxes, strict=True):
            _, colour, shape = describe(kind).split()
            if colour in painted and shape != "ring":
                middle = pixels[(y1 + y2) // 2, (x1 + x2) // 2]
                assert np.abs(middle.astype(int) - painted[colour]).max() < 8, describe(kind)
                checked += 1
    assert checked > 10


def test_the_command_writes_a_store_and_a_picture(tmp_path, capsys):
    picture = tmp_path / "pictures" / "one.png"
    options = ["--seed", 3, "--split", "test", "--feature-width", 8, "--regions", "10:36", "--swapped", 1]
    name = "test-s3-0000004"
    assert (
        run("--images", 9, *options, "--output", tmp_path / "a.h5", "--picture", picture, "--image-id", name)
        == 0
    )
    with Store(tmp_path / "a.h5") as store:
        assert store.images == 9 and len(store.swapped_caption) == 9
        assert np.diff(store.offsets).min() >= 10
    drawn = np.asarray(Image.open(picture))
    assert run(*options, "--picture", tmp_path / "two.png", "--image-id", name) == 0
    assert np.array_equal(drawn, np.asarray(Image.open(tmp_path / "two.png")))
    assert run(*options, "--picture", tmp_path / "three.png") == 0
    assert not np.array_equal(drawn[:100, :100], np.asarray(Image.open(tmp_path / "three.png"))[:100, :100])
    assert "a.h5: 9 scenes" in capsys.readouterr().out
    assert scene_background(name).size == tuple(sample_window(3, "test", 0).sizes_N2[4])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to do: give --output"),
        (["--output", "a.h5"], "--output needs --images"),
        (["--output", "a.h5", "--images", 0], "0 images: a store holds at least 1"),
        (["--output", "a.h5", "--images", 3, "--seed", -1], "seed -1: take a whole number"),
        (["--output", "a.h5", "--images", 3, "--captions", 0], "0 captions a scene: from 1 to 20"),
        (["--output", "a.h5", "--images", 3, "--swapped", 16], "with 5 captions from 0 to 15"),
        (["--output", "a.h5", "--images", 3, "--regions", "2:5"], "regions 2:5: .* at least 6"),
        (["--output", "a.h5", "--images", 3, "--regions", "9:8"], "regions 9:8"),
        (["--output", "a.h5", "--images", 3, "--feature-width", 0], "feature_width is 0"),
        (["--output", "a.h5", "--images", 3, "--image-id", "train-s1-0000000"], "give --picture"),
        (["--picture", "p.png", "--image-id", "cat"], "'cat' is not a scene's"),
        (["--output", "a.h5", "--images", 3, "--picture", "p.png", "--image-id", "train-s1-0000003"],
         "end with train-s1-0000002"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        run(*words)
    if "end with" not in message:
        assert not list(tmp_path.iterdir())


def test_many_swapped_captions_differ(tmp_path):
    write_scenes(tmp_path / "many.h5", 30, seed=2, feature_width=2, captions=2, swapped=6)
    with Store(tmp_path / "many.h5") as store:
        for image in range(30):
            texts = [store.swapped_text(i) for i in range(6 * image, 6 * image + 6)]
            true = {store.caption_text(2 * image), store.caption_text(2 * image + 1)}
            assert len(set(texts)) == 6 and not true & set(texts)
