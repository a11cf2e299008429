"""RefCOCO's official files into examples; images as the files of others call them; real files where there are any."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import official_files as made
import pytest
from brought import bring, lines_of, refused
from official_files import vqa_question, write_rows
from small_store import write_named

from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import open_examples
from interbert.store.store import StoreWriter

SAMPLES = Path(os.environ.get("INTERBERT_SAMPLES", "-"))


def test_images_are_known_as_the_files_of_others_call_them(tmp_path):
    """UNITER's names, and the numbers of ViLBERT's VCR."""
    made.write_vqa(tmp_path, "val2014", [vqa_question(1)], None)
    made.write_refcoco(tmp_path / "refcoco+", [made.ref(1, "val", "he")])
    nlvr2 = write_rows(tmp_path / "dev.json", [made.nlvr2_row("dev-3-0-1")])
    ve = write_rows(tmp_path / "ve.jsonl", [made.snli_ve_row(1, "neutral", Flikr30kID="36979.jpg")])
    vcr = write_rows(tmp_path / "val.jsonl", [made.vcr_row(7)])
    for name, words in {
        "coco_val2014_000000000042": ["vqa2", "--questions", tmp_path / "v2_val2014_questions.json"],
        "nlvr2_dev-3-0-img0 nlvr2_dev-3-0-img1": ["nlvr2", "--input", nlvr2],
        "flickr30k_000000036979": ["snli-ve", "--input", ve],
        "1000007": ["vcr", "--input", vcr],
        "vcr_val_3005_A_FILM_7": ["vcr", "--input", vcr],
    }.items():
        store = write_named(tmp_path / "images.h5", *name.split())
        bring(*words, "--output", tmp_path / "x.jsonl", "--data", store, "--overwrite")
        assert lines_of(tmp_path / "x.jsonl")[0]["images"] == name.split()


def test_each_phrase_of_a_ref_has_its_box(tmp_path, capsys):
    refs = [
        made.ref(1, "testA", "the man", "left man"),
        made.ref(2, "val", "she"),
        made.ref(3, "testA", "red hat"),
    ]
    folder, output = made.write_refcoco(tmp_path / "refcoco+", refs), tmp_path / "a.jsonl"
    store = write_named(tmp_path / "images.h5", "COCO_train2014_000000000042")
    words = ("refcoco", "--input", folder, "--split", "testA", "--output", output, "--data", store)
    bring(*words)
    lines = lines_of(output)
    assert [(line["id"], line["texts"]) for line in lines] == [
        (10, ["the man"]),
        (11, ["left man"]),
        (30, ["red hat"]),
    ]
    assert lines[0]["boxes"] == [[5.5, 6, 15.5, 9]] and lines[0]["type"] == "person"
    with Corpus([store]) as corpus:
        assert open_examples(output, corpus, "point").known_N.all()
    output.unlink()
    made.write_refcoco(folder, [made.ref(1, "testA", "", "left man")])
    bring(*words)
    assert [line["id"] for line in lines_of(output)] == [11]
    assert "1 rows were left out: its phrase is empty" in capsys.readouterr().out
    output.unlink()
    words = ("refcoco", "--input", folder, "--split", "testC", "--output", output)
    assert "no split 'testC'; it has testA" in refused(capsys, *words)


def test_boxes_are_shares_where_the_data_knows_no_sizes(tmp_path, capsys):
    folder, output = (
        made.write_refcoco(tmp_path / "refcoco+", [made.ref(1, "val", "he")]),
        tmp_path / "a.jsonl",
    )
    boxes = np.array([[0.1, 0.1, 0.5, 0.9]], np.float32)
    with StoreWriter(tmp_path / "shares.h5", 4) as store:
        store.add_image("42", 0, 0, boxes, np.ones((1, 4)))
    words = (
        "refcoco",
        "--input",
        folder,
        "--split",
        "val",
        "--output",
        output,
        "--data",
        tmp_path / "shares.h5",
    )
    tree = json.loads((folder / "instances.json").read_text())
    for strange in ({}, {"width": 20, "height": 0}, {"width": "20", "height": 8}, {"id": [42]}):
        (folder / "instances.json").write_text(json.dumps(tree | {"images": [{"id": 42} | strange]}))
        assert "entry 1, image_id: the data does not know its size" in refused(capsys, *words)
    (folder / "instances.json").write_text(
        json.dumps(tree | {"images": [{"id": 42, "width": 20, "height": 8}]})
    )
    bring(*words)
    assert lines_of(output)[0]["boxes"] == [[0.275, 0.75, 0.775, 1]], "cut at the image's edge"
    with Corpus([tmp_path / "shares.h5"]) as corpus:
        assert open_examples(output, corpus, "point").known_N.all()


def test_bad_refs_are_refused(tmp_path, capsys):
    folder = made.write_refcoco(tmp_path / "refcoco+", [made.ref(1, "val", "he", annotation=99)])
    words = ("refcoco", "--input", folder, "--split", "val", "--output", tmp_path / "a.jsonl")
    assert "entry 1, ann_id: 99 is not in instances.json" in refused(capsys, *words)
    (folder / "refs(unc).p").write_bytes(pickle.dumps([made.ref(1, "val", "he")])[:-30])
    assert "refs(unc).p: not a readable pickle" in (told := refused(capsys, *words)) and "anew" in told
    made.write_refcoco(folder, [made.ref(1, "val", "he"), made.ref(2, "val")])
    assert "entry 2, sentences: [] is no list" in refused(capsys, *words)
    made.write_refcoco(folder, [made.ref(1, "val", "he")])
    instances = json.loads((folder / "instances.json").read_text())
    for bbox in ([5, 6, 0, 10], [5, 6, float("inf"), 10]):
        instances["annotations"][2]["bbox"] = bbox
        own = instances | {"categories": [{"id": 1}, {"id": [1], "name": "cat"}], "images": [1]}
        (folder / "instances.json").write_text(json.dumps(own))
        assert "entry 1, ann_id: the bbox of 3 in instances.json covers nothing" in refused(capsys, *words)
    pickled = [*words[:2], folder / "refs(unc).p", *words[3:]]
    assert "is a file; name the folder that it and instances.json lie in" in refused(capsys, *pickled)
    made.write_refcoco(folder, [], "refs(umd).p")
    assert "--split-by" in refused(capsys, *words)
    (folder / "refs(umd).p").write_bytes(pickle.dumps(os.getcwd))
    assert "would run code" in refused(capsys, *words, "--split-by", "umd")
    (folder / "instances.json").unlink()
    assert "instances.json missing" in refused(capsys, *words, "--split-by", "unc")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="INTERBERT_SAMPLES names no folder of official files")
def test_real_files(tmp_path):
    vqa = SAMPLES / "vqa"
    questions, annotations = vqa / "v2_questions_sample.json", vqa / "v2_annotations_sample.json"
    bring("vqa2", "--questions", questions, "--annotations", annotations, "--output", tmp_path / "vqa.jsonl")
    assert [line["scores"] for line in lines_of(tmp_path / "vqa.jsonl")] == [
        {"net": 1, "pitcher": 0.3, "orange": 0.3},
        {"pitcher": 1},
        {"orange": 1},
    ]
    nlvr2 = SAMPLES / "nlvr2"
    subsets = (nlvr2 / "balanced_dev.json", nlvr2 / "unbalanced_dev.json")
    bring("nlvr2", "--input", nlvr2 / "dev.json", "--output", tmp_path / "n.jsonl", "--subsets", *subsets)
    types = [line["type"] for line in lines_of(tmp_path / "n.jsonl")]
    assert [types.count(name) for name in ("balanced", "unbalanced", "neither")] == [2300, 3562, 1120]
    bring("snli-ve", "--input", vqa / "snli_ve_sample.jsonl", "--output", tmp_path / "ve.jsonl")
    assert len(lines_of(tmp_path / "ve.jsonl")) == 16
