"""Tokenizers: written, trained, loaded, refused."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertTokenizerFast

from interbert.commands import tokenizer as command
from interbert.plain_bert import plain_bert
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import (
    TokenizerError,
    glance_at_tokenizer,
    load_tokenizer,
    train_wordpiece,
    write_word_vocabulary,
)

TEXTS = ["a red cube, left of a blue ball", "two small crosses", "ein grüner Würfel", "红色的球"] * 3


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_word_vocabulary(["a", "red", "cube", ","], tmp_path_factory.mktemp("plain") / "tokenizer")


@pytest.fixture()
def folder(plain, tmp_path) -> Path:
    plain.save(tmp_path / "copy")
    return tmp_path / "copy"


def test_captions_are_framed_and_truncation_keeps_the_end(plain):
    whole = plain.words(plain.encode(["A red cube, red"], 36)[0])
    assert whole == ["[CLS]", "a", "red", "cube", ",", "red", "[SEP]"]
    for limit in range(3, 9):
        (ids,) = plain.encode(["a red cube, red"], limit)
        assert plain.words(ids) == [*whole[: min(limit, 7) - 1], "[SEP]"]
    assert plain.encode([], 5) == []
    assert [len(ids) for ids in plain.encode(["", "red"], 5)] == [2, 3]
    with pytest.raises(ValueError, match=r"max_tokens is 2.*need 3"):
        plain.encode(["red"], 2)


def test_unknown_words_are_spelled(plain):
    assert plain.words(plain.encode(["zebra 42"], 36)[0])[1:-1] == [
        "z",
        "##e",
        "##b",
        "##r",
        "##a",
        "4",
        "##2",
    ]
    assert plain.encode(["球"], 36)[0] == [plain.cls_id, plain.unk_id, plain.sep_id]


@pytest.mark.parametrize("said", ["[MASK]", "[SEP]", "[PAD]", "[CLS]", "[UNK]"])
def test_special_tokens_written_in_a_caption_are_words_like_others(plain, folder, tmp_path, said):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/vocab.txt").write_text("\n".join(plain.words(range(plain.vocab_size))))
    bare = load_tokenizer(tmp_path / "bare")  # as BERT's first ones
    for tokenizer in (plain, bare, load_tokenizer(folder)):
        (ids,) = tokenizer.encode([f"a {said}{said} red"], 36)
        assert (ids[0], ids[-1]) == (tokenizer.cls_id, tokenizer.sep_id)
        assert not {*ids[1:-1]} & ({*tokenizer.special_ids} - {tokenizer.unk_id})
        words = tokenizer.words(ids[1:-1])
        letters = [
            word for word in words[1:-1] if word != "[UNK]"
        ]  # "[" and "]" are no words of this vocabulary
        assert (words[0], words[-1]) == ("a", "red")
        assert "".join(letters).replace("##", "") == 2 * said.strip("[]").lower()
    # Whoever calls the tokenizer of transformers, to have a place predicted, still gets the special token.
    assert plain.mask_id in plain.fast("a [MASK]")["input_ids"]


def test_special_ids_are_berts(plain):
    assert (plain.pad_id, plain.unk_id, plain.cls_id, plain.sep_id, plain.mask_id) == (0, 1, 2, 3, 4)
    assert plain.special_ids == (0, 1, 2, 3, 4)
    assert plain.vocab_size == 5 + 4 + 2 * 36 - 1  # "a" is a word and a letter


def test_transformers_loads_the_directory_as_a_fast_bert_tokenizer(plain, folder):
    fast = AutoTokenizer.from_pretrained(str(folder))
    assert fast.is_fast and type(fast).__name__.startswith("BertTokenizer")
    assert fast("a red cube")["input_ids"] == plain.encode(["a red cube"], 36)[0]
    assert fast.mask_token_id == plain.mask_id and len(fast) == plain.vocab_size
    assert fast.decode(fast("a red cube, a")["input_ids"], skip_special_tokens=True) == "a red cube, a"


def test_the_fingerprint_is_of_what_it_does(plain, folder, tmp_path):
    again = load_tokenizer(folder)
    assert again.fingerprint == plain.fingerprint and again.encode(["red"], 5) == plain.encode(["red"], 5)
    fewer = write_word_vocabulary(["a", "red", ","], tmp_path / "fewer")
    assert fewer.fingerprint != plain.fingerprint
    plain.fast("a red cube, red", truncation=True, max_length=4, padding="max_length")
    assert load_tokenizer(folder).fingerprint == plain.fingerprint
    assert len(plain.encode(["a red cube, red"], 36)[0]) == 7, (
        "what others ask of the same object changes nothing"
    )


def test_a_bare_vocabulary_is_enough(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\n##dish\n")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.words(tokenizer.encode(["Reddish blue"], 9)[0]) == [
        "[CLS]",
        "red",
        "##dish",
        "[UNK]",
        "[SEP]",
    ]


def test_training_learns_words_in_any_script_and_keeps_to_the_size(tmp_path):
    tokenizer = train_wordpiece(iter(TEXTS), 90, tmp_path / "trained")
    assert 50 < tokenizer.vocab_size <= 90
    encoded = tokenizer.encode(TEXTS, 36)
    assert not any(tokenizer.unk_id in ids for ids in encoded)
    assert tokenizer.words(encoded[0])[1:-1][-1] in ("ball", "##ll", "##all", "##l")
    assert load_tokenizer(tmp_path / "trained").fingerprint == tokenizer.fingerprint


def test_training_is_deterministic_over_processes_and_orders(tmp_path):
    program = f"import sys; from interbert.tokenizer import *; train_wordpiece({TEXTS!r}, 80, sys.argv[1])"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=True, cwd=root)
    # The order of hash tables, on which this could depend, differs even within a process.
    assert (
        train_wordpiece(TEXTS, 80, tmp_path / "b").fingerprint == load_tokenizer(tmp_path / "a").fingerprint
    )
    assert (
        train_wordpiece(TEXTS[::-1], 80, tmp_path / "c").fingerprint
        == load_tokenizer(tmp_path / "a").fingerprint
    )
    for file in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_training_refuses_what_cannot_be(tmp_path, folder):
    with pytest.raises(TokenizerError, match=r"size 12: the letters of these texts alone need \d+"):
        train_wordpiece(TEXTS, 12, tmp_path / "x")
    with pytest.raises(TokenizerError, match="no captions"):
        train_wordpiece([], 100, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    before = (folder / "tokenizer.json").read_bytes()
    with pytest.raises(TokenizerError, match="not empty"):
        train_wordpiece(TEXTS, 100, folder)
    assert (folder / "tokenizer.json").read_bytes() == before


def test_a_directory_that_is_no_tokenizer_says_what_is_missing(folder, tmp_path):
    with pytest.raises(TokenizerError, match=r"nowhere: no such directory"):
        load_tokenizer(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TokenizerError, match=r"neither tokenizer\.json nor vocab\.txt"):
        load_tokenizer(tmp_path / "empty")
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text[: len(text) // 2])
    with pytest.raises(TokenizerError, match="copy: damaged"):
        load_tokenizer(folder)


WORDS = [
    "[PAD]",
    "red",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "##dish",
    "[MASK]",
    "Rot",
    "rot",
    "红",
    "é",
    "e",
    "[unused1]",
]
ASKED = ["Reddish é, Rot 红红 [MASK] red[SEP]red", "", "\u0000 red\tred"]


def described(directory: Path, **rules) -> None:
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"} | rules))


def bare(directory: Path) -> None:
    (directory / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")


def cased(directory: Path) -> None:
    bare(directory)
    described(directory, do_lower_case=False)


def accents_kept(directory: Path) -> None:
    bare(directory)
    described(
        directory, strip_accents=False, tokenize_chinese_chars=False, tokenizer_class="BertTokenizerFast"
    )


def beside_a_model(directory: Path) -> None:
    bare(directory)
    (directory / "config.json").write_text('{"model_type": "bert"}')


def saved_by_transformers(directory: Path) -> None:
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}, do_lower_case=False).save_pretrained(
        directory
    )


def trained_here(directory: Path) -> None:
    directory.rmdir()
    train_wordpiece(TEXTS, 90, directory)


@pytest.mark.parametrize(
    "fill",
    [bare, cased, accents_kept, beside_a_model, saved_by_transformers, trained_here],
    ids=lambda f: f.__name__,
)
def test_a_glance_sees_what_transformers_loads(fill, tmp_path):
    (tmp_path / "a").mkdir()
    fill(tmp_path / "a")
    assert plain_bert(tmp_path / "a") is not None, "the quick way must be the one that is looked at here"
    glanced, loaded = glance_at_tokenizer(tmp_path / "a"), load_tokenizer(tmp_path / "a")
    assert glanced.fingerprint == loaded.fingerprint
    assert glanced.encode(ASKED, 9) == loaded.encode(ASKED, 9)
    assert (glanced.vocab_size, glanced.special_ids) == (loaded.vocab_size, loaded.special_ids)
    assert glanced.words(range(glanced.vocab_size)) == loaded.words(range(loaded.vocab_size))


def test_a_glance_leaves_to_transformers_what_is_not_berts_own(folder):
    description = json.loads((folder / "tokenizer_config.json").read_text())
    for change in (
        {"mask_token": "a"},
        {"tokenizer_class": "PreTrainedTokenizerFast"},
        {"additional_special_tokens": ["red"]},
        {"added_tokens_decoder": {"9": {"content": "red", "special": False}}},
    ):
        (folder / "tokenizer_config.json").write_text(json.dumps(description | change))
        assert plain_bert(folder) is None, change
        assert glance_at_tokenizer(folder).fingerprint == load_tokenizer(folder).fingerprint
    (folder / "tokenizer_config.json").write_text(json.dumps(description))
    whole = json.loads((folder / "tokenizer.json").read_text())
    for change in (
        {"added_tokens": [whole["added_tokens"][0] | {"content": "x"}]},
        {"model": {"type": "BPE"}},
    ):
        (folder / "tokenizer.json").write_text(json.dumps(whole | change))
        assert plain_bert(folder) is None, change
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match="copy: damaged"):
        glance_at_tokenizer(folder)


def test_a_vocabulary_without_mask_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nred\n")
    with pytest.raises(TokenizerError, match="no mask token"):
        load_tokenizer(tmp_path)


def test_another_kind_of_tokenizer_is_refused(folder):
    description = json.loads((folder / "tokenizer_config.json").read_text())
    del description["mask_token"]
    description["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(description))
    with pytest.raises(TokenizerError, match="no mask token"):
        load_tokenizer(folder)


def test_the_command_trains_on_the_captions_of_stores(tmp_path, capsys):
    write_scenes(tmp_path / "a.h5", 60, seed=1, feature_width=2)
    write_scenes(tmp_path / "b.h5", 60, seed=1, split="test", feature_width=2)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["--data", tmp_path / "a.h5", tmp_path / "b.h5", "--size", 150, "--output", tmp_path / "out"]
    assert command.run(parser.parse_args([str(word) for word in words])) == 0
    assert "from 600 captions" in capsys.readouterr().out
    tokenizer = load_tokenizer(tmp_path / "out")
    assert tokenizer.vocab_size <= 150
    assert tokenizer.words(tokenizer.encode(["a red cube"], 9)[0]) == ["[CLS]", "a", "red", "cube", "[SEP]"]


TWO_WAYS = ["ＡＢＣ１２，“红色”", 'abc12,"红色"']


def pieces(tokenizer, text):
    return tokenizer.words(tokenizer.encode([text], 30)[0])


@pytest.mark.parametrize("normalise", [[], ["width"], ["quotes"], ["width", "quotes"]])
def test_width_and_quotes_are_made_alike_where_asked(normalise, tmp_path):
    trained = train_wordpiece(TWO_WAYS * 3, 60, tmp_path / "zh", normalise)
    alike = [pieces(trained, text) for text in TWO_WAYS]
    assert (alike[0] == alike[1]) == (len(normalise) == 2)
    assert ("“" in alike[0]) == ("quotes" not in normalise) and ("，" in alike[0]) == (
        "width" not in normalise
    )
    for again in (load_tokenizer(tmp_path / "zh"), glance_at_tokenizer(tmp_path / "zh")):
        assert again.fingerprint == trained.fingerprint and pieces(again, TWO_WAYS[0]) == alike[0]
    trained.save(tmp_path / "copy")
    assert load_tokenizer(tmp_path / "copy").fingerprint == trained.fingerprint
    theirs = AutoTokenizer.from_pretrained(tmp_path / "zh")
    assert theirs(list(TWO_WAYS))["input_ids"] == trained.encode(list(TWO_WAYS), 99)
    assert theirs("a", "b")["token_type_ids"][-1] == 1
    assert load_tokenizer(tmp_path / "zh").fingerprint == trained.fingerprint


def test_what_the_files_say_of_texts_is_done(folder):
    """Of a directory of somebody else's, whose tokenizer_config names BERT's class."""
    description = json.loads((folder / "tokenizer.json").read_text())
    before = load_tokenizer(folder)
    assert pieces(before, "“ｒｅｄ”")[2] == "[UNK]"
    steps = [{"type": "NFKC"}, {"type": "Replace", "pattern": {"String": "“"}, "content": "a "}]
    description["normalizer"] = {"type": "Sequence", "normalizers": [*steps, description["normalizer"]]}
    (folder / "tokenizer.json").write_text(json.dumps(description))
    for tokenizer in (load_tokenizer(folder), glance_at_tokenizer(folder)):
        assert (
            pieces(tokenizer, "“ｒｅｄ")[1:-1] == ["a", "red"] and tokenizer.fingerprint != before.fingerprint
        )
