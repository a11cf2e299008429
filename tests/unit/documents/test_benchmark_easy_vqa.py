"""easy-VQA made ready from a package in miniature, as a folder and as a wheel."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import open_examples
from interbert.recipe import load_recipe
from interbert.tokenizer import load_tokenizer
from tests.unit.documents.test_benchmarks import run
from tests.unit.documents.test_commands import load

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255)}


def picture(number: int) -> bytes:
    """Red or blue; the upper left patch is white."""
    pixels = np.zeros((16, 16, 3), np.uint8) + np.array(COLOURS["red" if number % 2 else "blue"], np.uint8)
    pixels[:8, :8] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def package(tmp_path):
    data = tmp_path / "site" / "easy_vqa" / "data"
    for split, images in (("train", 20), ("test", 4)):
        (data / split / "images").mkdir(parents=True)
        questions = []
        for number in range(images):
            (data / split / "images" / f"{number}.png").write_bytes(picture(number))
            colour = "red" if number % 2 else "blue"
            questions += [
                ["what color is the shape?", colour, number],
                ["is there a red shape?", "yes" if number % 2 else "no", number],
            ]
        (data / split / "questions.json").write_text(json.dumps(questions))
    return data.parent


def test_questions_and_patches_become_examples_and_regions(package, tmp_path, capsys):
    output = tmp_path / "easy"
    words = ["--package", str(package), "--output", str(output), "--json", str(tmp_path / "blind.json")]
    run("benchmarks/easy_vqa.py", *words)
    assert "without looking" in capsys.readouterr().out
    with Corpus([output / "images.h5"]) as corpus:
        assert (
            corpus.images == 24 and corpus.region_counts.tolist() == [4] * 24 and corpus.feature_width == 192
        )
        parts = {
            part: open_examples(output / f"{part}.jsonl", corpus, "classify")
            for part in ("train", "val", "test")
        }
        assert [len(each) for each in parts.values()] == [36, 4, 8]
        shown = [{corpus.image_id(image) for image in each.image_P} for each in parts.values()]
        assert shown[1] == {"train-9", "train-19"} and not shown[0] & shown[1]
        image = np.array([corpus.image_of("test-1")])
        features, boxes = corpus.read(image, np.array([4]))
    assert boxes.tolist() == [[0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [8, 8, 16, 16]]
    assert (features[0] == 1).all() and features[3].reshape(64, 3).tolist() == [[1, -1, -1]] * 64
    assert (
        load_tokenizer(output / "tokenizer").unk_id
        not in load_tokenizer(output / "tokenizer").encode(["what color is the shape?"], 20)[0]
    )
    assert 0.3 < json.loads((tmp_path / "blind.json").read_text())["blind"]["value"] < 0.8


def test_a_wheel_is_read_as_it_is(package, tmp_path):
    wheel = shutil.make_archive(str(tmp_path / "w"), "zip", package.parent)
    read = load("benchmarks/easy_vqa.py").reader_of(
        shutil.move(wheel, tmp_path / "easy_vqa.whl") and tmp_path / "easy_vqa.whl"
    )
    assert read("test/images/1.png") == picture(1)


def test_patches_divide_the_image():
    module = load("benchmarks/easy_vqa.py")
    with pytest.raises(SystemExit, match="--patch 5 does not divide images of 16 x 16"):
        module.patches_of(np.zeros((16, 16, 3)), 5)


def test_its_recipe_knows_all_answers():
    settings = load_recipe("easy_vqa", [])
    assert len(settings.task.labels) == 13 and settings.task.validation.endswith("val.jsonl")
