"""JSON as its standard has it, of numbers that a database and a float can hold, and no more values than memory holds.

A list of two bytes, `[]`, is fifty when it is read: what a body becomes is bounded by its commas and brackets, which
are counted before. Those in texts count as well; texts that are more commas than that are none.
"""

from __future__ import annotations

import json
import math
from typing import Any

from interbert.serve.faults import Fault

SHOWN = 40
MOST_NAMES = 1000
"""Of one object."""
MOST_COMMAS, MOST_BRACKETS = 2_000_000, 250_000
"""Of a body: some 30 bytes of memory each, and 400."""


def parsed(body: bytes) -> Any:
    commas, brackets = body.count(b","), body.count(b"[") + body.count(b"{")
    if commas > MOST_COMMAS or brackets > MOST_BRACKETS:
        text = (
            f"the body has {commas:,} commas and {brackets:,} opening brackets, and {MOST_COMMAS:,} and "
            f"{MOST_BRACKETS:,} are read; send less at a time, and features as base64"
        )
        raise Fault(413, "too_much", text)
    try:
        found = _DECODER.decode(body.decode())
        if b"\\u" in body:  # half a character can come only so
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        said = "half of a character (a lone surrogate) is in it; send both halves"
    except UnicodeDecodeError as error:
        said = f"byte {error.start} is not UTF-8; send UTF-8"
    except RecursionError:
        said = "it is nested too deeply; send what /openapi.json has"
    except json.JSONDecodeError as error:
        said = f"line {error.lineno}, column {error.colno}: {error.msg}; send one JSON object"
    except ValueError as error:
        said = str(error)
    else:
        return found
    raise Fault(400, "not_json", f"the body is no JSON: {said}")


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON; leave it out, or send null")


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:SHOWN]} is beyond what a float holds")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text[:SHOWN]} is beyond 64 bits; send it as a text")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        raise ValueError(f"an object has {len(pairs):,} names, and {MOST_NAMES:,} are read")
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:SHOWN]!r} comes twice in one object; send it once")
        found[name] = value
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_real, parse_int=_whole
)
