"""Every layout of features: recognised, read exactly, told about, killed and continued, trained on."""

import json
import re
from itertools import islice
from pathlib import Path

import foreign
import numpy as np
import pytest
import torch
from foreign import CLASSES, Image
from foreign_files import LAYOUTS, Layout, attribute_confidence, attributes
from made_batches import tiny_config
from small_world import WordTokenizer, settings

from interbert import __main__ as program
from interbert import objectives
from interbert.batches.endless import Position
from interbert.batches.loader import Loader
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.mining.negatives import candidates_for
from interbert.model import InterBertForPreTraining
from interbert.sources.importers import driver
from interbert.store.store import Store
from interbert.store.verify import verify

FORMATS = {
    "bottom-up-tsv": foreign.write_tsv,
    "vilbert-lmdb": foreign.write_vilbert,
    "tensorpack-lmdb": foreign.write_tensorpack,
    "volta-h5": foreign.write_volta,
    "uniter-npz": foreign.write_npz,
    "uniter-lmdb": foreign.write_uniter_lmdb,
}
"""Those that test_importers reads back."""


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def written(name: str, folder: Path, made: list[Image]) -> list[Path]:
    """The inputs, of a layout or of a format of test_importers."""
    folder.mkdir()
    if name in LAYOUTS:
        return LAYOUTS[name].write(folder, made)
    FORMATS[name](folder / "theirs", made)
    return [folder / "theirs"]


def images_for(name: str) -> list[Image]:
    return foreign.images(12, LAYOUTS[name].regions_each if name in LAYOUTS else None)


def key_of(layout: Layout, image: Image) -> np.ndarray | None:
    """What its regions are put in order by."""
    if layout.ordered_by is None:
        return None
    if layout.ordered_by == "confidence":
        half = layout is LAYOUTS["halves-tsv"]
        return image.confidence.astype(np.float16) if half else image.confidence
    return (image.probs[:, 1:] if "but" in layout.ordered_by else image.probs).max(axis=1)


def expected(layout: Layout, image: Image) -> dict[str, np.ndarray]:
    key_N = key_of(layout, image)
    order_N = np.arange(len(image.boxes)) if key_N is None else np.argsort(-key_N, kind="stable")
    boxes = image.boxes if layout.sized else image.boxes / np.array([200, 100, 200, 100], np.float32)
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (len(boxes), 1)) if layout.boxes == "whole" else boxes
    found = {"features": image.features.astype(np.float16), "boxes": boxes}
    found |= {"class_probs": image.probs} if layout.probs else {}
    found |= {"labels": image.labels, "confidence": image.confidence} if layout.labels else {}
    if layout.attributes:
        found |= {"attributes/label": attributes(image), "attributes/confidence": attribute_confidence(image)}
    return {name: values[order_N] for name, values in found.items()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_arrives_exactly(name, tmp_path, capsys):
    layout, made = LAYOUTS[name], images_for(name)
    inputs = written(name, tmp_path / "in", made)
    bring("auto", "--input", *inputs, "--output", tmp_path / "a.h5", "--classes", CLASSES)
    assert capsys.readouterr().out.startswith(f"{layout.format}: ")
    assert verify(tmp_path / "a.h5").ok
    with Store(tmp_path / "a.h5") as store:
        ids = {str(int(image.name)) if layout.numbers else image.name: image for image in made}
        assert set(store.image_ids) == set(ids) and len(store.image_ids) == len(made)
        assert store.evidence == ("class_probs" if layout.probs else "labels" if layout.labels else None)
        assert store.has_attributes == layout.attributes
        texts = list(store.texts())
        for number, image_id in enumerate(store.image_ids):
            image, rows = ids[image_id], store.offsets[number : number + 2].tolist()
            for dataset, values in expected(layout, image).items():
                ours = store.read_rows(dataset, *rows)
                exact = dataset == "features" or (dataset == "boxes" and layout.boxes != "shares")
                exact = exact or dataset.endswith("label") or dataset == "labels"
                tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 2e-6, "atol": 1e-3}
                np.testing.assert_allclose(ours.astype(np.float32), values, **tolerance, err_msg=dataset)
            assert tuple(store.sizes[number]) == ((200, 100) if layout.sized else (0, 0))
            mine = [texts[c] for c in np.flatnonzero(store.caption_image == number)]
            several = [f"{image.caption} {n}" for n in range(5)] if name == "scan" else [image.caption]
            assert mine == (several if layout.captions else [])


class Died(BaseException):
    pass


@pytest.mark.parametrize("name", [*FORMATS, *LAYOUTS])
def test_killed_and_continued_then_trained_on(name, tmp_path, capsys, monkeypatch):
    made = images_for(name)
    inputs = written(name, tmp_path / "in", made)
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({str(int(i.name)): f"w{n:02} w{n + 20} w00" for n, i in enumerate(made)}))
    words = ["auto", "--input", *inputs, "--captions", captions, "--classes", CLASSES, "--shard-gb", 2e-7]
    order, calls = driver.surest_first, []

    def die(record):
        calls.append(record)
        if len(calls) == 9:
            raise Died
        return order(record)

    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(driver, "surest_first", die)
        program.main(["import", *map(str, words), "--output", f"{tmp_path}/out"])
    done = {path: path.stat().st_ino for path in sorted((tmp_path / ".out.partial").glob("shard*.h5"))}
    assert done and not (tmp_path / "out").exists()
    bring(*words, "--output", tmp_path / "out")
    assert "going on from" in capsys.readouterr().out
    assert set(done.values()) < {path.stat().st_ino for path in (tmp_path / "out").glob("*.h5")}
    bring(*words[:-2], "--output", tmp_path / "whole.h5")
    with Corpus([tmp_path / "out"]) as apart, Corpus([tmp_path / "whole.h5"]) as whole:
        assert list(apart.texts()) == list(whole.texts())
        everything = np.arange(len(made)), whole.region_counts
        for ours, theirs in zip(apart.read(*everything), whole.read(*everything), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert all(np.isfinite(loss) for loss in three_steps(apart))


def three_steps(corpus: Corpus) -> list[float]:
    """Losses of three steps of a tiny model."""
    names = ["msm", "itm", *{"class_probs": ["mrm"], "labels": ["moc"]}.get(corpus.evidence, [])]
    wanted = settings(data={"max_regions": 4, "token_budget": 60}, objectives=dict.fromkeys(names, 1.0))
    words = WordTokenizer()
    tokens = token_table(corpus, words, wanted.data.max_text_tokens)
    plan = Plan(corpus, tokens, wanted, candidates_for(corpus, wanted))
    preparer = Preparer(corpus, tokens, plan, wanted, Vocabulary.of(words))
    config = tiny_config(
        vocab_size=words.vocab_size, feature_width=corpus.feature_width, classes=corpus.classes or 2
    )
    model = InterBertForPreTraining.from_seed(config, seed=1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    values = []
    with Loader(preparer, plan, wanted, 0, 1, Position()) as loader:
        for step in islice(loader, 3):
            for batch in step.batches[:1]:
                found = objectives.losses(names, model.forward_packed(batch), batch)
                loss = sum(loss.sum / loss.count.clamp(min=1) for loss in found.values())
                loss.backward()
                values.append(loss.item())
            optimizer.step()
            optimizer.zero_grad()
    assert len(values) == 3
    return values


@pytest.mark.parametrize("name", [*FORMATS, *LAYOUTS])
def test_a_bad_image_is_named_and_left_out_when_asked(name, tmp_path, capsys):
    made = images_for(name)
    made[9].features[1, 0] = np.nan
    inputs = written(name, tmp_path / "in", made)
    words = ["auto", "--input", *inputs, "--output", tmp_path / "a.h5", "--classes", CLASSES]
    bring(*words, code=2)
    said = capsys.readouterr().err
    assert str(tmp_path / "in") in said and "NaN" in said and re.search("26|00000009|image 9|row 9", said), (
        said
    )
    bring(*words, "--skip-bad", 1)
    with Store(tmp_path / "a.h5") as store:
        assert store.images == 11
