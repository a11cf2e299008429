"""A model that was trained on one detector's features does not take another's, of the same width or not."""

import pytest
from small_store import edit
from small_world import CLASSES, FEATURE_WIDTH, WordTokenizer, settings, write_store

from interbert.corpus.corpus import Corpus
from interbert.files import read_json
from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.sources.scenes.wording import vocabulary
from interbert.store.features_of import OtherFeatures
from interbert.tasks.finetuning.starting import begun_from
from interbert.tasks.pretraining import validation
from interbert.tasks.pretraining.starting import start_of
from interbert.tasks.pretraining.wanted_model import wanted_shape
from interbert.tasks.retrieval.evaluation import load_for
from interbert.tokenizer import load_tokenizer, write_word_vocabulary

OURS, THEIRS = "vit@aa", "vit@bb"


@pytest.fixture
def stores(tmp_path):
    """Of ours, of theirs, and of nobody who is known."""
    for seed, (name, features_of) in enumerate((("ours", OURS), ("theirs", THEIRS), ("unknown", None))):
        write_store(tmp_path / f"{name}.h5", 6, seed=seed)
        if features_of:
            with edit(tmp_path / f"{name}.h5") as file:
                file.attrs["features_of"] = features_of
    return {name: str(tmp_path / f"{name}.h5") for name in ("ours", "theirs", "unknown")}


def model_in(folder, features_of: str | None, words: int = WordTokenizer.vocab_size):
    sizes = {
        "vocab_size": words,
        "feature_width": FEATURE_WIDTH,
        "classes": CLASSES,
        "features_of": features_of,
    }
    model = InterBertForPreTraining.from_seed(InterBertConfig.from_preset("tiny", **sizes), 0)
    model.save_pretrained(folder)
    return folder


def started(store: str, **model):
    wanted = settings(data={"train": [store]}, model={"preset": "tiny", **model})
    with Corpus([store]) as corpus:
        shape = wanted_shape(wanted, corpus, WordTokenizer())
        built, _ = start_of(wanted, corpus, WordTokenizer())
        tuned = begun_from(wanted, corpus, WordTokenizer())
    assert built.config.features_of == shape.features_of == tuned.features_of
    return built


def test_a_new_model_is_of_its_datas_features(stores, tmp_path):
    started(stores["ours"]).config.save_pretrained(tmp_path / "export")
    assert read_json(tmp_path / "export" / "config.json")["features_of"] == OURS
    assert started(stores["unknown"]).config.features_of is None


def test_a_model_that_goes_on_keeps_to_its_features(stores, tmp_path):
    ours = str(model_in(tmp_path / "ours", OURS))
    for store in ("ours", "unknown"):
        assert started(stores[store], inherit_from=ours).config.features_of == OURS
    with pytest.raises(
        OtherFeatures, match=r"was trained on features of vit@aa, those of .*theirs.h5 are of vit@bb"
    ):
        started(stores["theirs"], inherit_from=ours)
    unknown = str(model_in(tmp_path / "unknown", None))
    assert started(stores["theirs"], inherit_from=unknown).config.features_of == THEIRS, "from now on"


def test_an_earlier_model_says_nothing_and_is_read(stores, tmp_path):
    folder = model_in(tmp_path / "old", None)
    config = (folder / "config.json").read_text()
    lines = [line for line in config.splitlines() if "features_of" not in line]
    (folder / "config.json").write_text("\n".join(lines))
    assert started(stores["ours"], inherit_from=str(folder)).config.features_of == OURS


def test_what_is_held_out_is_of_the_same(stores):
    wanted = settings(data={"train": [stores["ours"]], "validation": [stores["theirs"]]})
    with (
        Corpus([stores["ours"]]) as corpus,
        pytest.raises(OtherFeatures, match=r"a model of data.train .*of vit@aa.*data.validation .*of vit@bb"),
    ):
        validation.validation_batches(wanted, corpus, WordTokenizer())


def test_what_is_evaluated_is_of_the_same(stores, tmp_path):
    write_word_vocabulary(vocabulary(), tmp_path / "model")
    folder = model_in(tmp_path / "model", OURS, load_tokenizer(tmp_path / "model").vocab_size)
    for name in ("ours", "unknown"):
        with Corpus([stores[name]]) as corpus:
            load_for(folder, corpus)
    with Corpus([stores["theirs"]]) as corpus, pytest.raises(OtherFeatures, match="of vit@bb"):
        load_for(folder, corpus)
