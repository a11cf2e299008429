"""Stores with sound checksums and structure, and with what nobody should print or draw as it is."""

import numpy as np
import pytest
from small_store import CLASSES, SIZE, WIDTH, edit, rows, write_small

from interbert.__main__ import main
from interbert.store.store import StoreWriter

HARM = "\x1b[31m\x1b]0;taken\x07\u202e"
COUNT = 3


def write_harmful(path):
    rng = np.random.default_rng(0)
    names = [f"class {HARM} {number}" for number in range(CLASSES)]
    kinds = {"evidence": "labels", "attributes": 2, "attribute_names": [HARM, "b"]}
    of = {"source": f"from {HARM}", "features_of": f"detector {HARM}@1"}
    with StoreWriter(path, WIDTH, classes=CLASSES, class_names=names, **kinds, **of) as store:
        for number in range(8):
            seen = {"attributes_N": [0, 1, 0], "attribute_confidence_N": [1, 1, 1]}
            image = store.add_image(f"image {HARM} {number}", *SIZE, **rows(rng, COUNT, "labels"), **seen)
            caption = store.add_captions(image, [f"text {HARM} {number}"], kinds=[1])
            store.add_swapped(caption, f"swapped {HARM} {number}")
    return path


COMMANDS = {
    "inspect": ["inspect", "STORE", "--output", "FOLDER/page.html"],
    "an image that is not there": ["inspect", "STORE", "--image-id", HARM],
    "verify": ["verify", "STORE"],
    "verify, damaged": ["verify", "DAMAGED"],
    "mine": ["mine", "--data", "STORE", "--of", "images", "--output", "FOLDER/mined.h5", "--processes", "1"],
    "join": ["join", "--given", "STORE", "--detected", "OTHER", "--output", "FOLDER/joined.h5"],
    "import": ["import", "--input", "STORE", "--output", "FOLDER/imported.h5"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_sends_a_terminal_what_a_store_says(name, tmp_path, capfd):
    paths = {word: tmp_path / f"{word} {HARM.replace('/', '')}.h5" for word in ("STORE", "DAMAGED")}
    for path in paths.values():
        write_harmful(path)
    with edit(paths["DAMAGED"]) as file:
        file["features"][4, 1], file["boxes"][7] = np.nan, np.nan
        file["captions/text"][:3] = 255
    paths["OTHER"] = write_small(tmp_path / "other.h5")
    words = [str(paths.get(word, word.replace("FOLDER", str(tmp_path)))) for word in COMMANDS[name]]
    main(words)
    said = capfd.readouterr()
    told = said.out + said.err
    assert told and not set(told) & {"\x1b", "\x07", "\u202e"}, told
    if (page := tmp_path / "page.html").is_file():
        assert "text \\x1b[31m" in (text := page.read_text()) and not set(text) & set("\x1b\x07\u202e")


@pytest.mark.parametrize("ending", [".png", ".html"])
def test_a_box_that_cannot_be_drawn_is_named(ending, tmp_path, capsys):
    path = write_small(tmp_path / "a.h5")
    with edit(path) as file:
        row = int(file["offsets"][7])
        file["boxes"][row] = np.nan
    given = ["inspect", str(path), "--image-id", "image-7", "--output", str(tmp_path / f"a{ending}")]
    assert main(given) == 2
    assert "image 'image-7': a box is not finite; `python -m interbert verify`" in capsys.readouterr().err
    assert not (tmp_path / f"a{ending}").exists()
