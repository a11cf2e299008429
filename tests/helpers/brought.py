"""What `interbert import` makes of official files, and what is read from containers of images."""

import json
from pathlib import Path

from interbert import __main__ as program
from interbert.sources.images.containers.container import Fields
from interbert.sources.images.containers.recognise import open_containers


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def refused(capsys, *words: object) -> str:
    """What is said; nothing is left at the output."""
    bring(*words, code=2)
    output = Path(words[words.index("--output") + 1])
    assert not output.exists() and not list(output.parent.glob(".*partial"))
    return capsys.readouterr().err


def opened(*paths: Path, **fields: object):
    return open_containers([*paths], Fields(**fields))


def read_all(containers) -> dict[str, tuple[bytes, list[str]]]:
    found = {}
    for container in containers:
        for number, name in enumerate(container.ids):
            assert name not in found
            one = container.read(number)
            found[name] = (one.data, one.captions)
    return found
