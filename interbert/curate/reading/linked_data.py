"""Images in a page's JSON-LD."""

import json
from collections.abc import Iterator
from typing import Any

from interbert.curate.reading.page import Candidate

_MOST = 256 << 10
_TEXTS = (
    ("caption", "caption"),
    ("description", "description"),
    ("name", "title"),
    ("alternateName", "title"),
)


def linked_images(text: str) -> Iterator[Candidate]:
    """With addresses as they are written there."""
    if len(text) > _MOST:
        return
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > 12:
            continue
        if isinstance(node, list):
            waiting += [(one, depth + 1) for one in reversed(node[:200])]
        elif isinstance(node, dict):
            if str(node.get("@type", "")).endswith("ImageObject"):
                yield from _of_object(node)
                continue
            image = node.get("image")
            if isinstance(image, str):
                yield Candidate([image], [], "json-ld")
            elif isinstance(image, list):
                yield from (Candidate([one], [], "json-ld") for one in image if isinstance(one, str))
            waiting += [(v, depth + 1) for v in reversed(list(node.values())) if isinstance(v, dict | list)]


def _of_object(node: dict[str, Any]) -> Iterator[Candidate]:
    urls = [node[name] for name in ("contentUrl", "url") if isinstance(node.get(name), str)]
    if not urls:
        return
    texts = [[source, node[name]] for name, source in _TEXTS if isinstance(node.get(name), str)]
    licence = next(
        (node[name] for name in ("license", "acquireLicensePage") if isinstance(node.get(name), str)), ""
    )
    width, height = _size(node.get("width")), _size(node.get("height"))
    yield Candidate(urls, texts, "json-ld", width, height, "", licence[:300])


def _size(value: Any) -> int:
    if isinstance(value, dict):
        value = value.get("value")
    text = str(value).removesuffix("px").strip() if value is not None else ""
    return int(text) if text.isdigit() and len(text) < 6 else 0
