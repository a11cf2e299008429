"""A tokenizer of another language than the captions is refused, unless it is asked for."""

import logging

import pytest

from interbert.config import SettingsError
from interbert.corpus.tokens import tokenise_texts
from interbert.corpus.unknown import refuse_unknown, unknown_share, warn_of_unknown
from interbert.ranks.distributed import Ranks
from interbert.recipe import load_recipe
from interbert.sources.scenes.write import write_scenes
from interbert.tasks.pretraining.task import open_pretraining
from interbert.tokenizer import write_word_vocabulary

TEXTS = ["a red ball", "a red ball", "一颗大星"]


@pytest.fixture
def english(tmp_path):
    return write_word_vocabulary(["a", "red", "ball"], tmp_path / "english")


def test_the_share_of_all_words(english, caplog):
    table = tokenise_texts([(text,) for text in TEXTS], english, 9)
    assert unknown_share(table, english) == 4 / 10
    assert unknown_share(tokenise_texts([("a", "red")], english, 9), english) == 0
    with caplog.at_level(logging.INFO):
        refuse_unknown(table, english, "data", TEXTS.__getitem__, 0.4)
        warn_of_unknown(table, english, "data")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert caplog.records[0].message == "data: 40 % of the words are [UNK]"
    with pytest.raises(SettingsError, match=r"data: 40% .* such as in '一颗大星': .* data.max_unknown=0.4$"):
        refuse_unknown(table, english, "data", TEXTS.__getitem__, 0.39)


def test_a_run_on_captions_of_another_language(english, tmp_path):
    write_scenes(tmp_path / "a.h5", 12, seed=1, feature_width=4, captions=2, language="zh")
    own = [f"data.train=[{tmp_path}/a.h5]", f"data.validation=[{tmp_path}/a.h5]"]
    other = f"data.tokenizer={tmp_path}/english"
    open_pretraining(load_recipe("scenes_zh", own), Ranks.alone())
    with pytest.raises(SettingsError, match="100% of the words are unknown to the tokenizer"):
        open_pretraining(load_recipe("scenes_zh", [*own, other]), Ranks.alone())
    open_pretraining(load_recipe("scenes_zh", [*own, other, "data.max_unknown=1"]), Ranks.alone())
