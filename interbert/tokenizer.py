"""Tokenizers: loaded from local directories, trained on captions, or written from a list of words.

All of them are BERT WordPiece tokenizers in the transformers format.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from interbert.adapter_folder import base_of
from interbert.files import read_json, write_json
from interbert.plain_bert import plain_bert

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_FILES = ("tokenizer.json", "vocab.txt")
_WORD = re.compile(r"\S+")
NORMALISED = ("width", "quotes")
"""What may be made alike: letters, digits and marks of full width those of half; curled quotes straight ones."""
_QUOTES = (("[\u201c\u201d\u201e\u300c\u300d\u300e\u300f]", '"'), ("[\u2018\u2019]", "'"))
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class TokenizerError(ValueError):
    """A directory that is no tokenizer, or settings with which none can be trained."""


class Tokenizer:
    """A transformers fast BERT tokenizer, reduced to what the data path needs."""

    def __init__(self, fast: Any, where: str) -> None:
        self.fast = fast
        self.vocab_size: int = len(fast)
        ids = [_special_id(fast, name, where) for name in ("pad", "unk", "cls", "sep", "mask")]
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = ids
        self.special_ids: tuple[int, ...] = tuple(sorted(set(fast.all_special_ids)))
        # A copy: calling `fast` sets truncation and padding in its own.
        self._backend = type(fast.backend_tokenizer).from_str(fast.backend_tokenizer.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        # "[MASK]" in a caption is what someone wrote, not a place to be predicted.
        self._backend.encode_special_tokens = True
        self.fingerprint = _fingerprint(self._backend.to_str(), ids)
        """Of what it does, not of where it lies or what its files are called."""

    def encode(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """[CLS] words [SEP] for each text; what is too long loses words before [SEP], never [SEP] itself."""
        if max_tokens < 3:
            raise ValueError(f"max_tokens is {max_tokens}: [CLS], one word and [SEP] need 3")
        return [[self.cls_id, *ids[: max_tokens - 2], self.sep_id] for ids in self._words_of(list(texts))]

    def encode_segments(
        self, texts: Sequence[tuple[str, ...]], max_tokens: int, longest: Mapping[str, int] | None = None
    ) -> tuple[list[list[int]], list[int]]:
        """[CLS] a [SEP], or [CLS] a [SEP] b [SEP], for each text of one or two segments; and how many of its tokens
        are of the first. What is too long loses words of the longer segment, never a [SEP].

        longest: of first segments that are cut alike before every second one, the tokens of the longest of these.
        """
        joined = self._joined(texts, self._words_of, max_tokens, longest or {})
        return [ids for ids, _ in joined], [first for _, first in joined]

    def words_of_segments(
        self, texts: Sequence[tuple[str, ...]], max_tokens: int, longest: Mapping[str, int] | None = None
    ) -> list[list[int]]:
        """For each token of the same the number of the word between blanks, in its segment, that it is of; -1 for
        [CLS] and [SEP]."""
        joined = self._joined(texts, self._numbers_of, max_tokens, longest or {}, ends=(-1, -1))
        return [numbers for numbers, _ in joined]

    def _joined(
        self,
        texts: Sequence[tuple[str, ...]],
        of: Callable[[list[str]], list[list[int]]],
        max_tokens: int,
        longest: Mapping[str, int],
        ends: tuple[int, int] | None = None,
    ) -> list[tuple[list[int], int]]:
        firsts = of([text[0] for text in texts])
        seconds = iter(of([text[1] for text in texts if len(text) == 2]))
        return [
            join_segments(
                [first, *([next(seconds)] if len(text) == 2 else [])],
                max_tokens,
                *(ends or (self.cls_id, self.sep_id)),
                longest.get(text[0]),
            )
            for text, first in zip(texts, firsts, strict=True)
        ]

    def _words_of(self, texts: list[str]) -> list[list[int]]:
        return [one.ids for one in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def _numbers_of(self, texts: list[str]) -> list[list[int]]:
        encoded = self._backend.encode_batch(texts, add_special_tokens=False)
        found = []
        for text, one in zip(texts, encoded, strict=True):
            starts = [match.start() for match in _WORD.finditer(text)]
            found.append([max(0, bisect_right(starts, start) - 1) for start, _ in one.offsets])
        return found

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Of each text: the characters that its word pieces stand for, whatever the length."""
        return [one.offsets for one in self._backend.encode_batch(list(texts), add_special_tokens=False)]

    def words(self, ids: Sequence[int]) -> list[str]:
        """The word pieces with these ids, as a reader wants to see them."""
        return self.fast.convert_ids_to_tokens([int(i) for i in ids])

    def save(self, directory: str | Path) -> None:
        """As transformers does it: `load_tokenizer` and `AutoTokenizer` read it."""
        _save(self.fast, Path(directory))


def join_segments(
    segments: Sequence[list[int]], max_tokens: int, cls_id: int, sep_id: int, longest: int | None = None
) -> tuple[list[int], int]:
    """The ids of a text of one or two segments' words, and how many of them are of the first segment.

    longest: as many words as the second segment is taken to have, where the first one is cut.
    """
    room = max_tokens - 1 - len(segments)
    if room < len(segments):
        raise ValueError(
            f"max_tokens is {max_tokens}: [CLS], a word of each of {len(segments)} segments and [SEP] after each "
            f"need {1 + 2 * len(segments)}"
        )
    if len(segments) == 1:
        ids = [cls_id, *segments[0][:room], sep_id]
        return ids, len(ids)
    first, second = segments
    # Word after word is taken from the longer: in the end the shorter is whole, or both are as long.
    kept = min(len(first), max(room - (len(second) if longest is None else longest), most_of_long(room)))
    ids = [cls_id, *first[:kept], sep_id]
    return [*ids, *second[: room - kept], sep_id], len(ids)


def most_of_long(room: int) -> int:
    """Words that a first segment keeps, however long the second one is."""
    return -(-room // 2)


def glance_at_tokenizer(directory: str | Path) -> Tokenizer:
    """The same tokenizer, but it cannot be saved: for who only looks, and need not wait for transformers."""
    _check_directory(Path(directory))
    plain = plain_bert(Path(directory))
    return Tokenizer(plain, f"tokenizer {directory}") if plain else load_tokenizer(directory)


def load_tokenizer(directory: str | Path) -> Tokenizer:
    """The tokenizer in a local directory (of peft's adapters without one, that of their model); TokenizerError says
    what is missing there."""
    directory = Path(directory)
    if not has_tokenizer(directory):
        directory = base_of(directory) or directory
    _check_directory(directory)
    from transformers import AutoTokenizer, BertTokenizer

    described = any((directory / name).is_file() for name in ("tokenizer_config.json", "config.json"))
    kind = AutoTokenizer if described else BertTokenizer
    try:
        fast: Any = kind.from_pretrained(str(directory), local_files_only=True)
    except Exception as error:  # transformers and tokenizers raise bare Exception for damaged files
        raise TokenizerError(f"tokenizer {directory}: damaged ({error}); copy or make it again") from None
    if not getattr(fast, "is_fast", False):
        raise TokenizerError(
            f"tokenizer {directory}: {type(fast).__name__} has no fast form; save it with a tokenizer.json"
        )
    normalizer = own_normalizer(directory)
    if normalizer is not None:
        fast.backend_tokenizer.normalizer = normalizer
    return Tokenizer(fast, f"tokenizer {directory}")


def has_tokenizer(directory: Path) -> bool:
    """Whether there is one in it, sound or not."""
    return any((directory / name).is_file() for name in _FILES)


def own_normalizer(directory: Path) -> Any:
    """What tokenizer.json does to texts before they are cut, where that is not BERT's own rules alone: transformers'
    BertTokenizer would leave it out. None else."""
    path = directory / "tokenizer.json"
    said = read_json(path).get("normalizer") if path.is_file() else None
    if said is None or said.get("type") == "BertNormalizer":
        return None
    from tokenizers import Tokenizer as Backend

    return Backend.from_file(str(path)).normalizer


def train_wordpiece(
    texts: Iterable[str], size: int, directory: str | Path, normalise: Sequence[str] = ()
) -> Tokenizer:
    """Train a lower-case WordPiece of at most `size` entries on the texts and save it as a directory.

    Same texts, same bytes. normalise: of NORMALISED, what is made alike before a text is cut.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordPiece
    from tokenizers.trainers import WordPieceTrainer

    if iter(texts) is texts:
        texts = list(texts)  # they are read twice
    backend = _with_bert_rules(Backend(WordPiece(unk_token="[UNK]")), normalise)
    letters = _letters(texts, backend)
    # The trainer numbers letters in the order of a hash table and breaks ties between pairs by those numbers.
    # Given beforehand, their numbers are fixed.
    trainer = WordPieceTrainer(vocab_size=size, special_tokens=[*SPECIALS, *letters], show_progress=False)
    backend.train_from_iterator(_batches(texts), trainer)
    found = backend.get_vocab_size()
    if found > size:
        raise TokenizerError(
            f"size {size}: the letters of these texts alone need {found}; ask for more than that"
        )
    if found == len(SPECIALS):
        raise TokenizerError("no text to train a tokenizer on: the data set has no captions")
    vocabulary = backend.get_vocab()
    return _write(sorted(vocabulary, key=vocabulary.__getitem__), Path(directory), normalise)


def write_word_vocabulary(words: Sequence[str], directory: str | Path) -> Tokenizer:
    """A tokenizer that knows these words whole, and any other word of plain letters in pieces."""
    letters = [*_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    return _write(list(dict.fromkeys([*SPECIALS, *words, *letters])), Path(directory))


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise TokenizerError(
            f"tokenizer {directory}: no such directory; `python -m interbert tokenizer` makes one"
        )
    if not has_tokenizer(directory):
        raise TokenizerError(
            f"tokenizer {directory}: holds neither tokenizer.json nor vocab.txt; one is needed"
        )


def _write(words: list[str], directory: Path, normalise: Sequence[str] = ()) -> Tokenizer:
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordPiece
    from transformers import BertTokenizer

    if directory.exists() and any(directory.iterdir()):
        raise TokenizerError(
            f"tokenizer {directory}: the directory is not empty; name another one or remove it"
        )
    vocabulary = {word: place for place, word in enumerate(words)}
    backend = _with_bert_rules(Backend(WordPiece(vocabulary, unk_token="[UNK]")), normalise)
    fast = BertTokenizer(tokenizer_object=backend, do_lower_case=True)
    fast.backend_tokenizer.normalizer = backend.normalizer

    def fill(folder: Path) -> None:
        _save(fast, folder)
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")

    _appear_whole(directory, fill)
    return load_tokenizer(directory)


def _save(fast: Any, directory: Path) -> None:
    """Where a text is not cut by BERT's own rules alone, of a class that keeps those of tokenizer.json."""
    fast.save_pretrained(str(directory))
    if own_normalizer(directory) is None:
        return
    path = directory / "tokenizer_config.json"
    kept = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    write_json(path, read_json(path) | kept)


def _with_bert_rules(backend: Any, normalise: Sequence[str] = ()) -> Any:
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers, processors

    rules = normalizers.BertNormalizer(lowercase=True)
    before = {
        "width": [normalizers.NFKC()],
        "quotes": [normalizers.Replace(Regex(marks), plain) for marks, plain in _QUOTES],
    }
    steps = [step for name in NORMALISED if name in normalise for step in before[name]]
    backend.normalizer = normalizers.Sequence([*steps, rules]) if steps else rules
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    if backend.token_to_id("[SEP]") is not None:
        ends = [(name, backend.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
        backend.post_processor = processors.BertProcessing(*ends)
    return backend


def _letters(texts: Iterable[str], backend: Any) -> list[str]:
    """The letters that words begin with, and those they go on with, in an order of their own."""
    words: set[str] = set()
    for text in texts:
        parts = backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))
        words.update(word for word, _ in parts)
    first, further = {word[0] for word in words}, {letter for word in words for letter in word[1:]}
    return [*sorted(first), *(f"##{letter}" for letter in sorted(further))]


def _appear_whole(directory: Path, fill: Callable[[Path], None]) -> None:
    """Fill a directory under another name, then rename it: two that make it at once both find a whole one."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        fill(partial)
        partial.chmod(0o755)
        os.replace(partial, directory)
    except OSError:
        if not has_tokenizer(directory):
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _batches(texts: Iterable[str], size: int = 1000) -> Iterable[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _special_id(fast: Any, name: str, where: str) -> int:
    token = getattr(fast, f"{name}_token", None)
    # transformers would add a missing one behind the vocabulary, with an id that no model has a row for.
    if token is None or token not in fast.backend_tokenizer.get_vocab(with_added_tokens=False):
        raise TokenizerError(f"{where}: no {name} token ({token}) in its vocabulary; it is no BERT tokenizer")
    return fast.convert_tokens_to_ids(token)


def _fingerprint(description: str, special_ids: list[int]) -> str:
    canonical = json.dumps([json.loads(description), special_ids], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
