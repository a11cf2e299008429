"""Real pairs, from archives in miniature: what is fetched, how they are split, what is said of what cannot be."""

import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
import real_archives
import torch
from PIL import Image
from real_archives import drawn, like, write_tgz, write_wheel

from benchmarks.real_pairs import archives, concepts, fetch, pairs, runs, stores, unpack
from benchmarks.real_pairs.encoder import pixels
from benchmarks.real_pairs.judge import page
from benchmarks.real_pairs.probe import Vectors, recalls, recalls_of, trained
from interbert.corpus.corpus import Corpus
from interbert.model.shape.shape import Shape
from interbert.recipe import load_recipe
from tests.unit.documents.test_commands import load

HAS_DEB = shutil.which("dpkg-deb") is not None
PLUGIN = """
import numpy as np, torch
from interbert.sources.images.own import OwnEncoder

def pixels(image):
    return torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1) / 255

def cells():
    return OwnEncoder("cells", torch.nn.Identity(), (8, 8), pixels, lambda pixels_B3YX: pixels_B3YX)
"""


@pytest.mark.parametrize(
    ("a", "b", "one"),
    [
        ("man farmer", "woman farmer", True),
        ("waving hand", "waving hand: dark skin tone", True),
        ("cat face", "cat", True),
        ("beer mug", "clinking beer mugs", True),
        ("man: white hair", "woman: curly hair", True),
        ("cat", "cat with wry smile", False),
        ("red heart", "blue heart", False),
        ("man farmer", "man cook", False),
        ("dark chocolate", "chocolate", False),
        ("full moon", "first quarter moon", False),
    ],
)
def test_what_is_one_concept(a, b, one):
    groups = concepts.grouped(["something else", a, "another thing", b])
    assert (groups[1] == groups[3]) is one
    assert groups[1] == a or groups[1] == groups[3]


def test_a_concept_is_one_by_however_many_steps():
    assert len(set(concepts.grouped(["clinking beer mugs", "tall glass", "beer mug", "mug of beer"]))) == 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    return real_archives.write_all(folder, HAS_DEB)


def test_pictures_and_what_is_said_of_them(made):
    found = {picture.image: picture for picture in pairs.pictures_of(made, None)}
    cat = found["google/1f431"]
    assert cat.said.texts == {"en": ["cat face, pet, whiskers", "cat face"], "zh": ["猫脸"]}
    assert cat.said.group == found["twitter/1f408"].said.group == "cat face"
    assert found["fluent/2716"].said.texts["en"][1] == "multiply"
    assert found["google/1f44b-1f3ff"].said.group == found["google/1f44b"].said.group
    assert "google/1f9ff" not in found, "nothing is said of it"
    if HAS_DEB:
        assert found["stamps/food/apple"].said.texts == {"en": ["An apple."]}
        assert found["stamps/animals/dog"].said.texts["zh"] == ["狗。"] and "stamps/food/untold" not in found
    assert len(list(pairs.pictures_of(made, 2))) == 6 + 2 * HAS_DEB


def test_no_concept_and_no_style_is_on_two_sides(made):
    pictures = list(pairs.pictures_of(made, None))
    group_of = {picture.image: picture.said.group for picture in pictures}
    # as many things as make every split likely
    many = [
        (f"{artist}/{n}", pairs.Said(f"g{n % 300}", {"en": [f"t{n}"]}))
        for artist in archives.ARTISTS
        for n in range(400)
    ]
    group_of |= {image: said.group for image, said in many}
    sides = {name: [] for name in pairs.SPLITS}
    for pair in pairs.split([*many, *((one.image, one.said) for one in pictures)]):
        sides[pair.split].append(pair.image)
    seen = {group_of[image] for image in sides[pairs.TRAIN]}
    for name in ("concepts", "artist", pairs.VALIDATION):
        own = [group_of[image] for image in sides[name]]
        assert own and not seen & set(own)
        assert name == pairs.VALIDATION or len(own) == len(set(own)), "no rival that is as right"
    assert {image.partition("/")[0] for image in sides["artist"]} == {"fluent"}
    assert not any(image.startswith("fluent") for name in ("train", "concepts") for image in sides[name])
    assert {image.partition("/")[0] for image in sides["concepts"]} == {"google", "twitter"}
    assert "google/1f44b-1f3ff" not in {image for name in pairs.TESTS for image in sides[name]}


def test_stores_of_both_languages(made, tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    folder = tmp_path / "real"
    how = (folder, [], f"{tmp_path / 'plugin.py'}:cells", 2)
    stores.prepare(partial(pairs.pictures_of, made), *how)
    counts = json.loads((folder / "pairs.json").read_text())["pairs"]
    assert counts["train"] and counts["concepts"] and counts["artist"]
    with Corpus([folder / "en" / "train.h5"]) as english, Corpus([folder / "zh" / "train.h5"]) as chinese:
        assert english.images == counts["train"] and english.feature_width == 3
        assert english.region_counts.tolist() == [4] * english.images
        assert all("\u4e00" <= chinese.caption_text(n)[0] <= "\u9fff" for n in range(chinese.captions))
    with Corpus([folder / "en" / "concepts.h5"]) as test:
        assert test.captions == test.images and test.caption_kind.tolist() == [1] * test.images
        named = Image.open(folder / "pictures" / f"{test.image_id(0)}.png")
        assert named.mode == "RGB" and named.getpixel((0, 0)) == (255, 255, 255), "on white"
    stores.prepare(lambda _: pytest.fail("it is there"), *how)
    with pytest.raises(pairs.PicturesError, match="of all pictures: take another --folder"):
        stores.prepare(lambda _: pytest.fail("it is there"), *how, limit=3)
    other = [pairs.Pair("google/other", "train", {"en": ["x"]})]
    with pytest.raises(pairs.PicturesError, match="is of other pictures than these"):
        stores.write_stores(folder / "features.h5", other, folder)


def test_an_image_that_is_none(made, tmp_path, capsys):
    said = pairs.Said("g", {"en": ["x"]})
    good = pairs.Picture("google/1", drawn(1), said)
    bad = [
        pairs.Picture(f"google/b{n}", b"\x89PNG\r\n\x1a\n" + bytes(n), said) for n in range(stores.BAD + 1)
    ]
    cut = pairs.Picture("google/cut", drawn(2)[:200], said)
    assert stores.write_pictures([good, bad[0], cut], tmp_path) == {"google/1"}
    told = capsys.readouterr().out
    assert "left out: google/b0: not a readable image" in told and "google/cut" in told
    with pytest.raises(pairs.PicturesError, match="more than 20 pictures are none"):
        stores.write_pictures(bad, tmp_path)


def test_an_archive_of_something_else(tmp_path):
    other = write_tgz(tmp_path / "other.tgz", {"package/readme": b"nothing"})
    with pytest.raises(pairs.PairsError, match=r"no package/en/data\.json"):
        pairs.emoji_said(other)


@pytest.mark.parametrize("kind", ["tgz", "whl", *(["deb"] if HAS_DEB else [])])
def test_a_truncated_archive(kind, made, tmp_path):
    path = tmp_path / f"cut.{kind}"
    if kind == "whl":
        write_wheel(path, {"a/b.py": bytes(9000)})
    elif kind == "deb":
        shutil.copy(made[archives.STAMPS.package], path)
    else:
        shutil.copy(made[archives.GOOGLE.package], path)
    assert list(unpack.members(path, lambda name: True))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(unpack.ArchiveError, match="cut or damaged"):
        list(unpack.members(path, lambda name: True))


def test_a_wheel_is_unpacked_below_its_folder(tmp_path):
    wheel = write_wheel(tmp_path / "a.whl", {"a/b.py": b"1", "../out.py": b"2", "/etc/out": b"3"})
    unpack.unpack(wheel, tmp_path / "un" / "packed")
    found = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(found) == ["a.whl", "un/packed/a/b.py"]


def test_copies_are_taken_and_checked(tmp_path):
    copies, kept = tmp_path / "copies", tmp_path / "kept"
    path = write_tgz(copies / archives.TEXTS.file, {"package/a": bytes(3000)})
    archive = like(archives.TEXTS, path)
    assert fetch.fetch(archive, kept, copies).read_bytes() == path.read_bytes()
    path.unlink()  # what is there is not asked for again
    assert fetch.fetch(archive, kept, copies) == kept / archive.file
    write_tgz(path, {"package/a": bytes(3000), "package/b": bytes(1)})
    (kept / archive.file).write_bytes(b"cut")
    with pytest.raises(fetch.FetchError, match=r"emojibase-data@17.0.0: .* is another file|cut short"):
        fetch.fetch(archive, kept, copies)
    assert not (kept / archive.file).exists()


def test_what_is_missing_is_named_all_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no npm here
    with pytest.raises(fetch.FetchError) as told:
        fetch.fetch_all([archives.GOOGLE, archives.TEXTS], tmp_path / "kept", None)
    lines = str(told.value).splitlines()
    assert len(lines) == 2 and "there is no npm here" in lines[0]
    assert f"put {archives.TEXTS.file} (sha256 {archives.TEXTS.sha256})" in lines[1]
    assert lines[1].endswith("make real COPIES=DIR")


def test_the_probe_finds_what_two_maps_can():
    rng = torch.Generator().manual_seed(0)
    both_ID = torch.randn(400, 24, generator=rng)
    turn_DD = torch.randn(24, 24, generator=rng)
    words_CD = torch.nn.functional.normalize(both_ID @ turn_DD, dim=-1)
    owner_C = torch.arange(400)
    watched = Vectors(both_ID[250:300], words_CD[250:300], owner_C[:50])
    learnt = trained(Vectors(both_ID[:250], words_CD[:250], owner_C[:250]), watched, 1)
    found = recalls(learnt, Vectors(both_ID[300:], words_CD[300:], owner_C[:100]))
    assert found["text_to_image"]["r10"] > 0.5 and found["image_to_text"]["r10"] > 0.5
    apart = recalls(learnt, Vectors(both_ID[300:], words_CD[300:].flip(0), owner_C[:100]))
    assert apart["text_to_image"]["r10"] < 0.3


def test_pixels_are_as_the_encoder_was_trained():
    image = Image.fromarray(np.full((4, 4, 3), [255, 127, 0], np.uint8))
    assert pixels(image)[:, 0, 0].tolist() == [1.0, 0.0, -127 / 128]


def test_where_what_is_fetched_is_told(tmp_path):
    (tmp_path / archives.TEXTS.file).touch()
    here, missing = fetch.told([archives.TEXTS, replace(archives.STAMPS)], tmp_path)
    assert here.endswith("MIT; is here") and "160.9 MB" in missing and missing.endswith("GPL-2")


@pytest.mark.parametrize("language", pairs.LANGUAGES)
def test_a_run_is_what_its_name_says(language, tmp_path):
    how = runs.How(tmp_path, tmp_path, {language: tmp_path / "bert"}, 2, "cpu", ("train.schedule_steps=7",))
    for beginning in (runs.BERT, runs.NOTHING):
        words = runs.command(runs.Run(language, beginning, 3), how)
        at = [n for n, word in enumerate(words) if word == "--set"]
        settings = load_recipe(words[words.index("--recipe") + 1], [words[n + 1] for n in at])
        assert settings.model.bert == (str(tmp_path / "bert") if beginning == runs.BERT else None)
        assert settings.data.tokenizer == str(tmp_path / "bert") and settings.train.seed == 3
        assert settings.data.validation == [str(tmp_path / language / "validation.h5")]
        assert settings.train.schedule_steps == 7
        shape = Shape.from_preset(settings.model.preset, **settings.model.override)
        assert [stage.kind for stage in shape.encoder_stages] == ["joint", "text", "image"]


def test_a_run_that_fails_is_told(tmp_path):
    how = runs.How(tmp_path, tmp_path / "runs", {"en": tmp_path / "none"}, 1, "cpu", ())
    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    with patch.object(runs, "command", lambda *_: failing), pytest.raises(runs.RunError, match=r"\(code 3\)"):
        runs.train(runs.Run("en", runs.BERT, 1), how)
    for name in ("en-bert-1", "en-bert-1-vectors"):
        (tmp_path / "runs" / name / "export").mkdir(parents=True)
    found = runs.train(runs.Run("en", runs.BERT, 1), how)
    assert [folder.name for folder in found] == ["en-bert-1", "en-bert-1-vectors"], "not done again"


def test_vectors_are_learnt_above_their_model(tmp_path):
    how = runs.How(tmp_path, tmp_path / "runs", {}, 2, "cpu", (), ("train.schedule_steps=7",))
    words = runs.vectors_command(runs.Run("zh", runs.BERT, 3), how)
    settings = load_recipe(
        words[words.index("--recipe") + 1], [words[n + 1] for n, w in enumerate(words) if w == "--set"]
    )
    assert (settings.train.seed, settings.train.schedule_steps) == (3, 7)
    assert list(settings.distill.weights) == ["contrast"]
    assert words[words.index("--model") + 1] == str(tmp_path / "runs" / "zh-bert-3" / "export")


def test_places_are_those_of_the_scores():
    scores_CI = torch.tensor([[0.1, 0.9, 0.5], [0.2, 0.1, 0.3], [0.0, 0.1, 0.2]])
    found = recalls_of(scores_CI, torch.tensor([1, 0, 2]))
    assert found["text_to_image"]["r1"] == pytest.approx(2 / 3)
    assert found["image_to_text"]["r1"] == pytest.approx(2 / 3), "the third picture prefers the first caption"


def test_the_table_tells_means_and_deviations():
    module = load("benchmarks/real.py")
    each = [{"concepts": {"text_to_image": {"r1": v, "r5": 0.5, "r10": 0.75}}} for v in (0.2, 0.3)]
    assert module.told(each, "concepts", "text_to_image") == "25.0 ± 7.1, 50.0, 75.0"
    assert module.told(each[:1], "concepts", "text_to_image") == "20.0, 50.0, 75.0"
    assert module.told(each, "stamps", "text_to_image") == "-"


def test_the_page_shows_the_best_and_the_worst(tmp_path):
    line = {"label": "google/1", "prediction": "google/2", "text": "a <cat>", "rank": 9.0, "right": False}
    best = {**line, "prediction": "google/1", "text": "a dog", "right": True, "scores": {"google/1": 0.9}}
    found = page("concepts", [line, best], tmp_path)
    assert "1 of 2 found first" in found and "a &lt;cat&gt;" in found and "place 9" in found
    assert found.index("a dog") < found.index("a &lt;cat&gt;") and "google/2.png" in found
