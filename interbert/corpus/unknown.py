"""How many words of texts a tokenizer has no piece for: they are all one, [UNK], and nothing is learnt of them.

A few are usual. Many say that tokenizer and texts are of different languages.
"""

import logging
from typing import Any

import numpy as np

from interbert.config import SettingsError
from interbert.corpus.tokens import TokenTable

log = logging.getLogger(__name__)

USUAL = 0.2
"""A larger share is refused, unless it is asked for."""
_AT_A_TIME = 1 << 22
_SHOWN = 60


def unknown_share(table: TokenTable, tokenizer: Any) -> float:
    """Of all tokens but [CLS] and [SEP]."""
    return _unknown(table, tokenizer) / max(1, len(table.ids_flat) - 2 * len(table.lengths))


def refuse_unknown(table: TokenTable, tokenizer: Any, what: str, text_of: Any, most: float) -> None:
    """Tells the share where there is one, and refuses it above `most`. text_of(number): a text, to be shown."""
    share = unknown_share(table, tokenizer)
    if not share:
        return
    log.info("%s: %.2g %% of the words are [UNK]", what, 100 * share)
    if share <= most:
        return
    text = text_of(_first_with(table, tokenizer))
    raise SettingsError(
        f"{what}: {share:.0%} of the words are unknown to the tokenizer, such as in {text!r:.{_SHOWN}}: it lacks the "
        "characters of their language. Take another tokenizer (data.tokenizer; `python -m interbert tokenizer` "
        "trains one on these captions), or allow it by "
        f"--set data.max_unknown={min(1.0, np.ceil(share * 100) / 100):g}"
    )


def warn_of_unknown(table: TokenTable, tokenizer: Any, what: str) -> None:
    """Where there are no settings to allow it by."""
    share = unknown_share(table, tokenizer)
    if share > USUAL:
        log.warning(
            "%s: %.0f %% of the words are unknown to the tokenizer; are they of its language?",
            what,
            100 * share,
        )


def _unknown(table: TokenTable, tokenizer: Any) -> int:
    parts = range(0, len(table.ids_flat), _AT_A_TIME)
    return sum(int((table.ids_flat[at : at + _AT_A_TIME] == tokenizer.unk_id).sum()) for at in parts)


def _first_with(table: TokenTable, tokenizer: Any) -> int:
    token = int(np.argmax(table.ids_flat == tokenizer.unk_id))
    return int(np.searchsorted(table.offsets, token, side="right")) - 1
