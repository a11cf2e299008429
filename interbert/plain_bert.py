"""A BERT tokenizer's directory, read without transformers, whose import takes seconds.

What transformers' BertTokenizer makes of the directory, to the letter of its description. A directory that asks for
anything else than BERT's own rules is left to transformers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SPECIALS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_CLASSES = ("BertTokenizer", "BertTokenizerFast")


class PlainBert:
    """As much of transformers' class as `Tokenizer` asks of it."""

    pad_token, unk_token, cls_token, sep_token, mask_token = SPECIALS.values()

    def __init__(self, backend: Any) -> None:
        self.backend_tokenizer = backend
        self.all_special_ids = [backend.token_to_id(name) for name in SPECIALS.values()]

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    def convert_tokens_to_ids(self, token: str) -> int:
        return self.backend_tokenizer.token_to_id(token)

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.backend_tokenizer.id_to_token(number) for number in ids]


def plain_bert(directory: Path) -> PlainBert | None:
    """None where transformers has to say what the directory means."""
    try:
        rules, vocabulary = _rules(directory), _vocabulary(directory)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # damaged, or of another shape: transformers tells which
    if rules is None or vocabulary is None or not set(SPECIALS.values()) <= vocabulary.keys():
        return None
    return PlainBert(_backend(vocabulary, rules))


def _rules(directory: Path) -> dict[str, Any] | None:
    """Settings of BERT's normalizer; None if the directory names another class, or other special tokens."""
    described, model = (_json(directory / f"{name}.json") for name in ("tokenizer_config", "config"))
    if "tokenizer_class" in described:
        known = described["tokenizer_class"] in _CLASSES
    else:
        known = model.get("model_type", "bert") == "bert"
    names = _json(directory / "special_tokens_map.json")
    others = [name for name in names if name not in SPECIALS]
    others += _json(directory / "added_tokens.json")
    others += described.get("additional_special_tokens") or described.get("extra_special_tokens") or []
    others += [t for t in described.get("added_tokens_decoder", {}).values() if not _is_berts(t)]
    for name, token in SPECIALS.items():
        others += [given for source in (described, names) if (given := source.get(name, token)) != token]
    if not known or others:
        return None
    options = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
    return {name: described.get(name, default) for name, default in options.items()}


def _vocabulary(directory: Path) -> dict[str, int] | None:
    whole = directory / "tokenizer.json"
    if not whole.is_file():
        words = (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")
        return {word: number for number, word in enumerate(words[:-1] if words[-1] == "" else words)}
    tree = _json(whole)
    kept = (
        tree["truncation"] is None and tree["padding"] is None and all(map(_is_berts, tree["added_tokens"]))
    )
    own = tree.get("normalizer")
    kept = kept and (own is None or own["type"] == "BertNormalizer")
    return tree["model"]["vocab"] if kept and tree["model"]["type"] == "WordPiece" else None


def _is_berts(token: dict[str, Any]) -> bool:
    plain = not any(token.get(flag) for flag in ("single_word", "lstrip", "rstrip", "normalized"))
    return plain and token["special"] and token["content"] in SPECIALS.values()


def _backend(vocabulary: dict[str, int], rules: dict[str, Any]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece

    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=rules["tokenize_chinese_chars"],
        strip_accents=rules["strip_accents"],
        lowercase=rules["do_lower_case"],
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    names = sorted(SPECIALS.values(), key=vocabulary.__getitem__)
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    return backend


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
