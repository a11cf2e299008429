"""Given and detected regions of the same images in one store."""

import json

import numpy as np
import pytest
from example_files import write_lines

from interbert.__main__ import main
from interbert.corpus.corpus import Corpus
from interbert.corpus.join_regions import join_regions
from interbert.corpus.right_texts import right_texts
from interbert.store.store import StoreWriter

WIDTH, CLASSES = 4, 3


def write(
    path, images: dict[str, int], size=(100, 50), marks: float = 0.0, probs: bool = True, width: int = WIDTH
):
    """Region n of an image has n and the mark as its feature, and its box's left edge at n percent."""
    evidence = {"classes": CLASSES, "evidence": "class_probs"} if probs else {}
    with StoreWriter(path, width, **evidence) as store:
        for name, count in images.items():
            n = np.arange(count)[:, None]
            boxes = np.concatenate([n / 100, n * 0, n * 0 + 0.5, n * 0 + 0.8], 1) * (
                np.tile(size, 2) if size[0] else 1
            )
            given = {"class_probs_NK": np.eye(CLASSES)[n[:, 0] % CLASSES]} if probs else {}
            features = np.repeat(n + marks, width, 1)
            store.add_image(name, *size, boxes.astype(np.float32), features.astype(np.float16), **given)
    return path


def joined(tmp_path, given, detected, **more):
    found = join_regions([given], [detected], tmp_path / "both.h5", **more)
    return found, Corpus([tmp_path / "both.h5"])


def regions_of(corpus, name: str):
    image = np.array([corpus.image_of(name)])
    return corpus.read(image, corpus.region_counts[image])


def test_given_regions_come_first_and_are_kept_in_preference(tmp_path):
    given = write(tmp_path / "given.h5", {"a": 2, "b": 5}, size=(200, 100), marks=0.5)
    detected = write(tmp_path / "detected.h5", {"b": 3, "c": 4, "a": 4})
    found, corpus = joined(tmp_path, given, detected, most=4)
    assert found == {"images": 2, "given": 6, "detected": 2, "captions": 0}
    features, boxes = regions_of(corpus, "a")
    assert features[:, 0].tolist() == [0.5, 1.5, 0, 1]
    assert boxes[:, 0].tolist() == pytest.approx([0, 1, 0, 1]), "in pixels of the detected image's size"
    assert corpus.sizes.tolist() == [[100, 50]] * 2
    assert regions_of(corpus, "b")[0][:, 0].tolist() == [0.5, 1.5, 2.5, 3.5], "none of the detected ones"
    probs, _ = corpus.read_evidence(np.zeros(4, np.int64), np.arange(4))
    assert probs.argmax(1).tolist() == [0, 1, 0, 1]


def test_evidence_that_only_one_has_is_left_out(tmp_path):
    given = write(tmp_path / "given.h5", {"vcr_gt_val_x": 2}, probs=False, size=(0, 0))
    _, corpus = joined(tmp_path, given, write(tmp_path / "detected.h5", {"vcr_val_x": 2}))
    assert corpus.evidence is None and corpus.image_id(0) == "vcr_gt_val_x", "as UNITER calls them"
    assert regions_of(corpus, "vcr_gt_val_x")[1][:, 0].tolist() == pytest.approx([0, 1, 0, 1]), (
        "shares became pixels"
    )


def test_what_cannot_be_joined_is_refused(tmp_path):
    given = write(tmp_path / "given.h5", {"a": 2, "b": 1})
    with pytest.raises(ValueError, match=r"nothing was detected in 1 of the 2 images .*: b;"):
        joined(tmp_path, given, write(tmp_path / "detected.h5", {"a": 2}))
    with pytest.raises(ValueError, match="6 wide, and the given ones 4"):
        joined(tmp_path, given, write(tmp_path / "other.h5", {"a": 2, "b": 1}, width=6))
    assert not (tmp_path / "both.h5").exists()


def test_right_choices_become_captions(tmp_path, capsys):
    given = write(tmp_path / "given.h5", {"a": 2, "b": 5})
    detected = write(tmp_path / "detected.h5", {"a": 2, "b": 3})
    lines = [
        {"id": 1, "images": ["a"], "texts": [["why ?", "no"], ["why ?", "so"]], "label": 1},
        {"id": 2, "images": ["a"], "texts": [["why ?", "so"], ["why ?", "no"]], "label": 0},
        {"id": 3, "images": ["b"], "texts": ["left", "right"], "label": 0},
        {"id": 4, "images": ["b"], "texts": ["up", "down"]},
    ]
    texts = write_lines(tmp_path / "told.jsonl", lines)
    words = [
        "join",
        "--given",
        given,
        "--detected",
        detected,
        "--texts",
        texts,
        "--output",
        tmp_path / "both.h5",
    ]
    assert main(list(map(str, words))) == 0
    assert "2 images, 7 given regions, 5 detected ones, 2 captions" in capsys.readouterr().out
    with Corpus([tmp_path / "both.h5"]) as corpus:
        assert list(corpus.texts()) == ["why ? so", "left"] and corpus.caption_image.tolist() == [0, 1]
    assert main(list(map(str, words))) == 2, "never over what is there"
    write_lines(texts, [lines[0], lines[2] | {"images": ["b.jpg"]}])
    capsys.readouterr()
    assert main([*map(str, words), "--overwrite"]) == 2
    assert "told of 1 images that have no given regions: b.jpg (one that has is a)" in capsys.readouterr().err


def test_examples_without_right_choices_are_no_captions(tmp_path):
    line = {"id": 1, "images": ["a"], "texts": ["no", "so"], "label": 2}
    with pytest.raises(ValueError, match=r"line 1, label: 2 is none of the 2 choices"):
        right_texts([write_lines(tmp_path / "x.jsonl", [line])])
    with pytest.raises(ValueError, match="line 2, is no example"):
        right_texts([write_lines(tmp_path / "x.jsonl", [line | {"label": 1}, json.dumps(line)[:-9]])])
    with pytest.raises(ValueError, match="no line says which choice is right"):
        right_texts([write_lines(tmp_path / "x.jsonl", [line | {"label": None}])])
