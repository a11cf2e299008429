"""How well texts fit: columns, a calibrated classifier, and a collection that is left with its best."""

import io
import json
import shutil

import numpy as np
import pytest
from made_crawl import collected, page, picture, rule, write_crawl
from PIL import Image
from random_model import small_config
from sklearn.metrics import average_precision_score

from interbert.__main__ import main
from interbert.curate.explain import explain
from interbert.curate.fit.columns import COLUMNS, columns_of
from interbert.curate.fit.judges import judge_of, judged, small
from interbert.curate.fit.scorer import Labels, _folds, load_scorer, match_alone, train_scorer
from interbert.curate.fit.training import read_labels
from interbert.curate.stages.score import _seen
from interbert.model.interbert import InterBertForPreTraining
from interbert.sources.images.decode import Limits
from interbert.sources.scenes.detector import CLASSES
from interbert.sources.scenes.pages.write import write_pages
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import load_tokenizer


def test_columns_say_where_a_text_stands_among_others():
    texts = [("caption", "a red ball left of a cube"), ("alt", "buy it now buy it now")]
    rows = columns_of(np.array([2.0, -1.0]), np.array([0.0, 1.0]), texts, frozenset({"ball", "cube"}))
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows.tolist()]
    assert named[0]["margin"] == pytest.approx(2 - 0.95) and (named[0]["rank"], named[1]["rank"]) == (0, 1)
    assert named[0]["labels"] == pytest.approx(2 / 6) and named[1]["repetition"] > 0.3
    assert (named[0]["caption"], named[0]["alt"], named[1]["alt"]) == (1, 0, 1)


def drawn(count: int, seed: int, telling: str = "margin", by: float = 1.5) -> Labels:
    """Columns of which one tells the truth, but for some noise."""
    rng = np.random.default_rng(seed)
    fits = rng.random(count) < 0.5
    columns = rng.normal(size=(count, len(COLUMNS)))
    columns[:, COLUMNS.index(telling)] += np.where(fits, by, -by)
    return Labels(columns, fits, np.arange(count) // 2)


def test_a_scorer_learns_and_is_calibrated(tmp_path):
    scorer = train_scorer(drawn(300, 1), drawn(2000, 2))
    judging = drawn(4000, 3)
    columns, fits = judging.columns_NF, judging.fits_N
    found = scorer.probabilities(columns)
    assert ((found > 0.5) == fits).mean() > 0.9
    bins = np.minimum((found * 5).astype(int), 4)
    error = sum(
        abs(found[bins == b].mean() - fits[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist())
    )
    assert error < 0.06
    scorer.save(tmp_path / "scorer.json")
    np.testing.assert_allclose(load_scorer(tmp_path / "scorer.json").probabilities(columns), found)
    with pytest.raises(ValueError, match="all labels are the same"):
        train_scorer(judging.taken(np.arange(0)), judging.taken(np.flatnonzero(fits)))
    (tmp_path / "scorer.json").write_text("{}")
    with pytest.raises(ValueError, match="not a scorer"):
        load_scorer(tmp_path / "scorer.json")


def test_columns_that_say_nothing_do_not_make_it_worse_than_the_match_head():
    """Of labels as few as people give."""
    judging = drawn(4000, 9, "match", 0.8)
    head = average_precision_score(judging.fits_N, judging.columns_NF[:, 0])
    for seed in range(5):
        scorer = train_scorer(drawn(60, seed, "match", 0.8), drawn(0, 1))
        found = scorer.probabilities(judging.columns_NF)
        assert average_precision_score(judging.fits_N, found) > head - 0.005
        assert abs(found.mean() - 0.5) < 0.15


def test_texts_of_an_image_are_held_out_together():
    image_N = np.arange(40) // 3
    folds = list(_folds(image_N, 0))
    assert sorted(np.concatenate([held for held, _ in folds]).tolist()) == list(range(40))
    assert not any(set(image_N[held]) & set(image_N[used]) for held, used in folds)


def test_without_a_scorer_it_is_the_match_heads_probability():
    columns = np.zeros((2, len(COLUMNS)))
    columns[:, 0] = 0.0, 2.0
    assert match_alone().probabilities(columns) == pytest.approx([0.5, 1 / (1 + np.exp(-2))])


def test_labels_that_are_none_are_named(tmp_path):
    (tmp_path / "l.jsonl").write_text('{"image": "a", "text": "b", "fits": 1}\n{"image": "a"}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_labels(tmp_path / "l.jsonl")


JUDGE = (
    "def brightness(images):\n    return [sum(one.resize((1, 1)).getpixel((0, 0))) / 765 for one in images]\n"
)


def test_images_are_judged_by_a_function_of_peoples_own(tmp_path):
    (tmp_path / "judge.py").write_text(JUDGE)
    spec = f"{tmp_path / 'judge.py'}:brightness"
    data = [picture(number) for number in range(6)]
    images = [small(one, Limits()) for one in data]
    shares = judged(judge_of(spec, "natural"), images, "natural")
    middle = sorted(shares)[3]
    htmls = {
        f"{n}.html": page(f"<img src={n}.jpg alt='two old boats in the harbour {chr(97 + n) * 4}'>")
        for n in range(6)
    }
    path = write_crawl(tmp_path / "a.warc.gz", htmls, {f"{n}.jpg": one for n, one in enumerate(data)})
    rules = {"natural": spec, "min_natural": middle}
    report = collected(tmp_path / "pairs", path, images=rules, texts={"max_alike": 1.0})
    assert rule(report, "natural") == 3 and report["kept"] == 3 and "natural" not in report["not_judged"]
    dark = shares.index(min(shares))
    assert any(
        "dropped by natural" in line for line in explain(tmp_path / "pairs", f"http://example.org/{dark}.jpg")
    )
    (tmp_path / "judge.py").write_text("def brightness(images):\n    return [2.0 for one in images]\n")
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        judged(judge_of(spec, "safe"), images, "safe")


def test_judges_see_images_as_people_do():
    """Upright, of 16 bits no less than of 8, and none so large that some of them fill the memory."""
    grey = Image.fromarray(np.full((300, 400), 0x4000, np.uint16))
    lying = Image.fromarray(np.zeros((1500, 3000, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [io.BytesIO(), io.BytesIO()]
    grey.save(files[0], "PNG")
    lying.save(files[1], "JPEG", exif=exif)
    seen = [small(file.getvalue(), Limits()) for file in files]
    assert np.asarray(seen[0]).mean() == 0x40 and seen[1].size == (512, 1024)


def test_an_image_that_no_longer_decodes_is_not_judged_and_goes():
    row, bad = {"image": "a.jpg", "scores": {}}, []
    assert _seen(row, picture(), "safe", Limits(), bad) is not None and not row["scores"]
    assert _seen(row, picture()[:6000], "safe", Limits(), bad) is None
    assert row["scores"] == {"safe": 0.0} and "a.jpg: safe was not judged" in bad[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Made pages, the regions of their scenes, and a model that knows nothing yet."""
    folder = tmp_path_factory.mktemp("fit")
    photos = write_pages(folder / "made", 16, 2, "train", 0.5)
    write_scenes(folder / "scenes.h5", photos, 2, feature_width=32)
    vocabulary = load_tokenizer(folder / "tokenizer").vocab_size
    InterBertForPreTraining(small_config(vocabulary, CLASSES, 32)).save_pretrained(folder / "model")
    shutil.copytree(folder / "tokenizer", folder / "model", dirs_exist_ok=True)
    return folder


@pytest.mark.slow
def test_the_best_of_a_collection_by_a_model_and_a_scorer(world, capsys):
    fit = {"model": str(world / "model"), "features": str(world / "scenes.h5"), "others": 3}
    collected(world / "first", world / "made")
    (world / "fit.yaml").write_text(json.dumps({"fit": fit}))
    labels = [json.loads(line) for line in (world / "made" / "labels.jsonl").read_text().splitlines()]
    given = [{"image": one["image"], "text": one["meant"] or one["text"], "fits": one["kind"].startswith("true")}
             for one in labels if one["what"] == "text"]  # fmt: skip
    (world / "given.jsonl").write_text("\n".join(map(json.dumps, given)))
    words = [
        "curate",
        "--output",
        world / "first",
        "--train-scorer",
        world / "scorer.json",
        "--config",
        world / "fit.yaml",
    ]
    assert main([*map(str, words), "--labels", str(world / "given.jsonl")]) == 0
    assert "labels given" in capsys.readouterr().out
    settings = {"fit": {**fit, "scorer": str(world / "scorer.json"), "keep": 0.5, "least": 0.0}}
    report = collected(world / "best", world / "made", **settings)
    settled = next(one for one in report["rules"] if one["rule"] == "fits_nothing")
    assert "probability that the text fits" in (world / "best" / "report.html").read_text()
    assert report["kept"] == -(-settled["in"] // 2) > 2 and "fit" not in report["not_judged"]
