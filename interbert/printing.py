"""Text of anybody's, made fit to be printed: a terminal obeys what it is sent."""

import re
from html import escape

_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, with which escape sequences begin
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of the text round
    "\u2028\u2029\ufeff\ud800-\udfff\U000e0000-\U000e007f]"  # more ends of lines, what is not seen, halves
)


def printable(text: object) -> str:
    """The same with `\\x1b` and the like written out, so that it is one line and moves nothing on a terminal."""
    return _UNFIT.sub(_written_out, str(text))


def printable_lines(text: object) -> str:
    """Of a text of ours that others' stands in: its own lines stay."""
    return "\n".join(map(printable, str(text).split("\n")))


def in_page(text: object) -> str:
    """The same as text of HTML, whose tags are none of theirs."""
    return escape(printable_lines(text))


def _written_out(match: re.Match[str]) -> str:
    number = ord(match[0])
    short = {9: "\\t", 10: "\\n", 13: "\\r"}.get(number)
    if short:
        return short
    return (
        f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
    )
