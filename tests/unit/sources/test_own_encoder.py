"""`extract --encoder`: a function of people's own gives regions."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from interbert import __main__ as program
from interbert.corpus.corpus import Corpus

PLUGIN = """
import numpy as np, torch
from interbert.sources.images.own import OwnEncoder

SCALE = 255

def pixels(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / SCALE

def model():
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, 5, 8, stride=8, bias=False)

def grid():
    conv = model()
    return OwnEncoder("conv", conv, (48, 32), pixels, conv)

def halves():
    conv = model()
    def encode(pixels_B3YX):
        found = conv(pixels_B3YX).flatten(2).transpose(1, 2)[:, :2]
        return found, torch.tensor([[0, 0, 0.5, 1], [0.5, 0, 1.5, 1]]).expand(len(found), 2, 4)
    return OwnEncoder("halves", conv, (48, 32), pixels, encode)

def flat():
    return OwnEncoder("flat", model(), (48, 32), pixels, lambda pixels_B3YX: pixels_B3YX.flatten(1))

def nothing():
    return 7

def broken():
    import a_package_that_is_not_here
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "images").mkdir()
    for number, size in enumerate(((96, 64), (30, 90), (48, 32))):
        pixels = np.random.default_rng(number).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def extract(function, *more, code=0, output="out.h5"):
    words = ["extract", "--images", "images", "--encoder", f"plugin.py:{function}", "--output", output]
    assert program.main([*words, "--batch", "2", *more]) == code


def stored(path="out.h5"):
    with Corpus([path]) as corpus:
        features_RD, boxes_R4 = corpus.read(range(corpus.images), corpus.region_counts)
        return (
            np.asarray(features_RD).copy(),
            np.asarray(boxes_R4).copy(),
            corpus.region_counts,
            corpus.features_of,
        )


def test_a_grid_is_its_cells(here):
    extract("grid")
    features_RD, boxes_R4, counts, name = stored()
    assert counts.tolist() == [24, 24, 24] and name.startswith("conv@")
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 5, 8, stride=8, bias=False)
    pixels = torch.from_numpy(np.array(Image.open("images/2.png"))).permute(2, 0, 1) / 255
    expected = conv(pixels[None])[0].flatten(1).T.detach().numpy()
    np.testing.assert_allclose(features_RD[48:], expected, atol=2e-3)
    np.testing.assert_allclose(boxes_R4[48], [0, 0, 8, 8], atol=1e-4)
    np.testing.assert_allclose(boxes_R4[23], [80, 48, 96, 64], atol=1e-4)


def test_a_grid_is_made_coarser(here):
    extract("grid", "--grid", "2")
    features_RD, boxes_R4, counts, _ = stored()
    assert counts.tolist() == [4, 4, 4]
    np.testing.assert_allclose(boxes_R4[3], [48, 32, 96, 64], atol=1e-4)
    extract("grid", output="fine.h5")
    fine_YXD = stored("fine.h5")[0][:24].reshape(4, 6, 5).astype(np.float32)
    np.testing.assert_allclose(features_RD[0], fine_YXD[:2, :3].mean((0, 1)), atol=2e-3)


def test_regions_have_boxes_of_their_own(here):
    extract("halves")
    _, boxes_R4, counts, _ = stored()
    assert counts.tolist() == [2, 2, 2]
    np.testing.assert_allclose(boxes_R4[:2], [[0, 0, 48, 64], [48, 0, 96, 64]], atol=1e-4)


def test_other_pixels_are_other_features(here):
    extract("grid")
    plugin = here / "plugin.py"
    written = plugin.stat().st_mtime_ns
    plugin.write_text(PLUGIN.replace("SCALE = 255", "SCALE = 127"))
    os.utime(plugin, ns=(written, written))  # of one size and one moment
    extract("grid", output="other.h5")
    assert stored()[3] != stored("other.h5")[3]


@pytest.mark.parametrize(
    ("function", "more", "message"),
    [
        ("flat", (), "a grid is [B, D, Y, X]"),
        ("halves", ("--grid", "2"), "takes no --grid"),
        ("grid", ("--grid", "5"), "4 cells a side; --grid 5 must not be finer"),
        ("nothing", (), "gives a int, not an interbert.sources.images.own.OwnEncoder"),
        ("broken", (), "No module named 'a_package_that_is_not_here'"),
        ("absent", (), "has no function absent, but"),
    ],
)
def test_what_it_must_not_give(here, capsys, function, more, message):
    extract(function, *more, code=2)
    assert message in capsys.readouterr().err


def test_one_of_two_models(here, capsys):
    with pytest.raises(SystemExit):
        extract("grid", "--model", "images")
    assert "not allowed with argument" in capsys.readouterr().err
