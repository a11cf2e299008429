"""Data that is damaged, or another than before, on one rank and on two."""

import sys

import pytest

from interbert.corpus.corpus import Corpus
from interbert.sources.scenes.write import write_scenes


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Some scenes, of which one has rotted."""
    path = tmp_path_factory.mktemp("rotten") / "train.h5"
    write_scenes(path, 48, seed=1, feature_width=32)
    with Corpus([path]) as corpus:
        extent, image_id = corpus.stores[0].extents["features"], corpus.image_id(5)
        with open(path, "r+b") as file:
            file.seek(extent.offset + int(corpus.stores[0].offsets[5]) * extent.row_bytes)
            file.write(b"\x11" * extent.row_bytes)
    return path, image_id


def start(runs, name, store, *sets, ranks=1, code=0):
    words = runs.command(name, "--max-steps", "5", "--data", str(store), sets=sets)
    return runs.run([sys.executable, *words], code) if ranks == 1 else runs.run_ranks(words, code)


def test_damaged_images_are_left_out_alike_on_one_rank_and_two(runs, store):
    path, image_id = store
    for ranks in (1, 2):
        said = start(runs, f"rotten_{ranks}", path, "data.skip_damaged=30", ranks=ranks)
        assert "left out" in said and str(path) in said and image_id in said
    one, two = runs.metrics("rotten_1"), runs.metrics("rotten_2")
    losses = [[line["loss"] for line in lines if "loss" in line] for lines in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    damaged = [[line["damaged"] for line in lines if "loss" in line][-1] for lines in (one, two)]
    assert damaged[0] == damaged[1] > 0


def test_more_damage_than_allowed_ends_the_run_on_all_ranks(runs, store):
    path, image_id = store
    said = start(runs, "rotten_end", path, "data.skip_damaged=1", ranks=2, code=1)
    status = runs.status("rotten_end")
    assert status["state"] == "failed" and "more than data.skip_damaged (1) allows" in status["reason"]
    assert image_id in status["reason"] and "Traceback" not in said


def test_other_data_is_refused_on_resume_unless_allowed(runs, tmp_path):
    for name, images in (("first", 48), ("second", 56)):
        write_scenes(tmp_path / f"{name}.h5", images, seed=1, feature_width=32)
    start(runs, "moved_on", tmp_path / "first.h5")
    words = runs.command("moved_on", "--max-steps", "7", "--data", str(tmp_path / "second.h5"))
    said = runs.run([sys.executable, *words], code=1)
    assert "data fingerprint" in said and "data.allow_changed=true" in said
    words += ["--set", "data.allow_changed=true"]
    assert "resumed from" in runs.run([sys.executable, *words])
    assert [line["step"] for line in runs.metrics("moved_on") if "loss" in line] == list(range(1, 8))
