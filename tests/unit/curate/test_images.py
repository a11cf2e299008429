"""Images: what is known of their files, which look alike, and the rules of their pages."""

import io

import numpy as np
import pytest
from made_crawl import picture
from PIL import Image

from interbert.curate.images.facts import BROKEN, FACTS, GOOD, OPTED_OUT, SMALL, facts_of
from interbert.curate.images.index import Index, write_index
from interbert.curate.images.near import near_pairs
from interbert.curate.images.never import hashes_of
from interbert.curate.images.phash import phash
from interbert.curate.images.rules import OnPage, broken_rule, shown_size
from interbert.curate.reading.records import RawImage
from interbert.curate.settings import CurateSettings, ImageRules
from interbert.curate.stages.different import RULES, Images, decide
from interbert.sources.images.decode import Limits
from interbert.sources.scenes.picture import render
from interbert.sources.scenes.write import window_of

SETTINGS = CurateSettings()


def facts(data: bytes, url: str = "http://a.org/a.jpg", directives: str = "", megapixels: float = 128):
    return facts_of(RawImage(url, 5, data, directives), 3, SETTINGS, Limits(megapixels))


def test_facts_of_a_good_image():
    data = picture(1)
    found, wrong = facts(data)
    assert (found["state"], wrong, found["unit"], found["place"]) == (GOOD, "", 3, 5)
    assert (found["width"], found["height"], found["bytes"]) == (400, 320, len(data)) and found["phash"]


def test_images_that_are_none_are_named():
    whole = picture(1)
    for data, word in ((whole[: len(whole) // 2], "truncated"), (b"<svg></svg>", "not"), (b"", "not")):
        found, wrong = facts(data)
        assert found["state"] == BROKEN and word in wrong
    assert facts(picture(1, 100, 100))[0]["state"] == SMALL
    assert facts(whole, directives="noimageai")[0]["state"] == OPTED_OUT


def test_a_bomb_is_not_decoded():
    file = io.BytesIO()
    Image.new("1", (40_000, 40_000)).save(file, "PNG")
    assert len(file.getvalue()) < 400_000
    found, wrong = facts(file.getvalue())
    assert found["state"] == BROKEN and "40000 x 40000 pixels" in wrong


def again(image: Image.Image, quality: int = 50, scale: float = 1.0, crop: int = 0) -> Image.Image:
    width, height = image.size
    image = image.crop((crop, crop, width - crop, height - crop))
    image = image.resize((int(image.width * scale), int(image.height * scale)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def test_hashes_know_what_was_encoded_anew_and_tell_scenes_apart():
    window = window_of(1, "train", 0)
    scenes = [render(window.scene(row)) for row in range(12)]
    own = np.array([phash(scene) for scene in scenes], np.uint64)
    for change in ({"quality": 40}, {"scale": 0.6}, {"crop": 2}):
        changed = np.array([phash(again(scene, **change)) for scene in scenes], np.uint64)
        assert np.bitwise_count(own ^ changed).max() <= 6, change
    apart = np.bitwise_count(own[:, None] ^ own[None])[np.triu_indices(len(own), 1)]
    assert apart.min() > 6


@pytest.mark.parametrize("many", [1, 10**9])
def test_near_pairs_are_those_of_comparing_all_with_all(many):
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 900, dtype=np.uint64)
    for row in range(300):
        bits = rng.choice(64, rng.integers(0, 9), replace=False)
        hashes[600 + row] = hashes[row] ^ np.bitwise_or.reduce(
            np.uint64(1) << bits.astype(np.uint64), initial=0
        )
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None])
    close = {(i, j) for i, j in np.argwhere(distance <= 5).tolist() if i < j}
    found = set(map(tuple, near_pairs(hashes, 5, many).tolist()))
    # Equals are tied to the first of them, and pairs to firsts.
    first = {int(h): row for row, h in reversed(list(enumerate(hashes.tolist())))}
    expected = {tuple(sorted((first[int(hashes[i])], first[int(hashes[j])]))) for i, j in close}
    expected = {pair for pair in expected if pair[0] != pair[1]}
    expected |= {(first[int(h)], row) for row, h in enumerate(hashes.tolist()) if first[int(h)] != row}
    assert len(close) > 150 and found == expected
    assert near_pairs(hashes[:0], 5).shape == (0, 2)


def test_the_index_finds_addresses_and_prefers_images_that_are_some(tmp_path):
    rows = [facts(b"no image", "http://a.org/1.jpg")[0], facts(picture(1), "http://a.org/1.jpg")[0]]
    rows += [facts(picture(2)[:-5000], "http://a.org/2.jpg")[0]]
    assert rows[-1]["state"] == BROKEN and rows[-1]["width"] == 400, "torn behind its head"
    rows += [facts(picture(n), f"http://a.org/{n}.jpg")[0] for n in range(2, 9)]
    assert write_index(tmp_path, [np.stack(rows[:4]), np.empty(0, FACTS), np.stack(rows[4:])]) == 8
    index = Index(tmp_path)
    for number in range(1, 9):
        row = index.row(f"https://a.org/{number}.jpg")
        assert row is not None and index.facts[row]["width"] == 400 and index.facts[row]["state"] == GOOD
    assert index.row("http://a.org/nothing.jpg") is None


def test_an_opt_out_is_not_lost_to_another_copy_of_the_address(tmp_path):
    plain, opted = facts(picture(1))[0], facts(picture(1), directives="noai")[0]
    for number, rows in enumerate(([plain, opted], [opted, plain])):
        (tmp_path / str(number)).mkdir()
        assert write_index(tmp_path / str(number), [np.stack([row]) for row in rows]) == 1
        index = Index(tmp_path / str(number))
        assert index.facts[index.row("http://a.org/a.jpg")]["state"] == OPTED_OUT


def of_size(width: int, height: int, size: int = 50_000) -> np.ndarray:
    table = np.zeros(1, FACTS)
    table["width"], table["height"], table["bytes"] = width, height, size
    return table[0]


@pytest.mark.parametrize(
    ("found", "shown", "decoration", "largest", "together", "rule"),
    [
        (of_size(640, 480), (640, 480), "", 307_200, 307_200, None),
        (of_size(640, 480), (640, 480), "logo in its name", 307_200, 307_200, "decoration"),
        (of_size(640, 480), (160, 120), "", 307_200, 400_000, "dominant"),
        (of_size(640, 480), (160, 120), "", 19_200, 60 * 19_200, "dominant"),
        (of_size(300, 900), (300, 900), "", 270_000, 270_000, "sides"),
        (of_size(301, 301), (301, 301), "", 90_601, 90_601, None),
        (of_size(1000, 390), (1000, 390), "", 390_000, 390_000, "ratio"),
        (of_size(640, 480, 5119), (640, 480), "", 307_200, 307_200, "bytes"),
        (of_size(0, 0), (0, 0), "", 1, 1, "decodes"),
    ],
)  # fmt: skip
def test_rules_of_images(found, shown, decoration, largest, together, rule):
    broken = broken_rule(found, OnPage(*shown, decoration, largest, together), ImageRules())
    assert (broken and broken[0]) == rule


def test_sizes_as_they_are_shown():
    found = of_size(800, 600)
    assert shown_size(0, 0, found) == (800, 600) and shown_size(400, 0, found) == (400, 300)
    assert shown_size(0, 300, found) == (400, 300) and shown_size(10, 20, found) == (10, 20)


def test_what_must_not_come_is_given_as_images_or_hashes(tmp_path):
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "a.jpg").write_bytes(picture(4))
    (tmp_path / "list.txt").write_text("# two\n00000000000000ff\n")
    known = phash(Image.open(io.BytesIO(picture(4))))
    found = hashes_of([tmp_path / "held", tmp_path / "list.txt"])
    assert len(found) == 2 and found[0] == 255
    assert np.bitwise_count(found[1] ^ np.uint64(known)) <= 2
    (tmp_path / "list.txt").write_text("nonsense\n")
    with pytest.raises(ValueError, match="line 1"):
        hashes_of([tmp_path / "list.txt"])


def test_all_that_look_like_what_must_not_come_go_its_own_copies_among_them_or_not():
    rng = np.random.default_rng(0)
    held = rng.integers(0, 1 << 63, 20, np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (200, 7)).astype(np.uint64)
    bits = (np.arange(7) < rng.integers(0, 8, (200, 1))) * flips
    hashes = np.bitwise_xor.reduce(bits, axis=1, initial=0) ^ rng.choice(held, 200)
    numbers = np.arange(200)
    images = Images(
        numbers, numbers, rng.integers(1, 99, 200), np.ones(200), hashes, np.zeros(200, np.uint8), numbers
    )
    decide(images, held, ImageRules())
    near = (np.bitwise_count(hashes[:, None] ^ held) <= 5).any(axis=1)
    assert 0 < np.isin(hashes, held).sum() < near.sum() < 200
    np.testing.assert_array_equal(images.rule_S == RULES.index("never"), near)
