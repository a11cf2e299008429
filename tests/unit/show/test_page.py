import shutil
import subprocess

import numpy as np
import pytest
from page_reader import Page

from interbert import __main__ as program
from interbert.sources.scenes.write import write_scenes
from interbert.store.store import StoreWriter


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_scenes(folder / "scenes.h5", 30, seed=1, feature_width=8, captions=2)
    path = folder / "deep" / "page.html"
    words = ["inspect", str(folder / "scenes.h5"), "--output", str(path), "--images", "3"]
    assert program.main(words) == 0
    return path


def test_it_shows_charts_images_and_captions_and_needs_nothing_else(page):
    found = Page(page.read_text())
    assert not found.fetched and not {"script", "link", "img"} & found.tags.keys()
    assert found.tags["figure"] == 5 + 3 and found.tags["rect"] > 40
    for part in ("30", "regions an image", "words a caption", "area of a box", "regions of each class"):
        assert part in found.text
    assert "train-s1-0000000" in found.text and "train-s1-0000029" in found.text
    assert found.text.count("Missing") == 1 and "nothing" in found.text


def test_it_names_what_is_missing_and_escapes(tmp_path, capsys):
    boxes = np.array([[0, 0, 0.5, 0.5]], np.float32)
    with StoreWriter(tmp_path / "a.h5", 4) as store:
        for name in ("<b>one</b>", "two"):
            store.add_image(name, 0, 0, boxes, np.zeros((1, 4), np.float16))
        store.add_captions(1, ["<script>alert(1)</script>"])
    output = tmp_path / "a.html"
    assert program.main(["inspect", str(tmp_path / "a.h5"), "--output", str(output)]) == 0
    found = Page(output.read_text())
    assert {"script", "b"} & found.tags.keys() == set() and "<script>alert(1)" in found.text
    told = capsys.readouterr().out
    for gap in ("1 of 2 images have no caption", "2 of 2 images are of unknown size", "no class evidence"):
        assert gap in found.text and gap in told


def test_names_of_classes_are_escaped(tmp_path):
    names = ["<i>cat</i>", "a & <b>dog</b>"]
    boxes = np.array([[0, 0, 9, 9], [1, 1, 5, 5]], np.float32)
    with StoreWriter(tmp_path / "a.h5", 4, classes=2, evidence="labels", class_names=names) as store:
        store.add_image("one", 10, 10, boxes, np.zeros((2, 4), np.float16), labels_N=[0, 1])
    assert program.main(["inspect", str(tmp_path / "a.h5"), "--output", str(tmp_path / "a.html")]) == 0
    found = Page((tmp_path / "a.html").read_text())
    assert {"i", "b"} & found.tags.keys() == set()
    assert all(found.text.count(name) == 2 for name in names), "on the picture, and where the mouse rests"


def test_another_ending_is_refused(tmp_path, capsys):
    write_scenes(tmp_path / "a.h5", 2, seed=1, feature_width=4)
    assert program.main(["inspect", str(tmp_path / "a.h5"), "--output", str(tmp_path / "a.xyz")]) == 2
    assert "must end in .png or .html" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here (make debian-packages)")
def test_a_browser_lays_it_out(page, tmp_path):
    command = ["chromium", "--headless=new", "--no-sandbox", f"--user-data-dir={tmp_path}"]
    command += ["--virtual-time-budget=2000", "--dump-dom", f"file://{page}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = Page(done.stdout)
    assert found.tags["svg"] == 8 and found.tags["body"] == 1
    assert "train-s1-0000000" in found.text
