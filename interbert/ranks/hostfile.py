"""Host files: a line a host, `NAME slots=NUMBER`. DeepSpeed reads them too, but names neither file nor line."""

import re
from pathlib import Path


class HostfileError(ValueError):
    """A host file that names no hosts, or not as it should."""


def read_hostfile(path: Path) -> dict[str, int]:
    """Ranks by host."""
    if not path.is_file():
        raise HostfileError(
            f"no hostfile {path}: write one line a host, such as `worker-1 slots=8` (launch/hostfile.example)"
        )
    found: dict[str, int] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not re.fullmatch(r"slots=[1-9]\d*", words[1]):
            raise HostfileError(f"{path}, line {number}: {line.strip()!r}; write `HOST slots=NUMBER`")
        if words[0] in found:
            raise HostfileError(f"{path}, line {number}: host {words[0]} stands there twice; keep one line")
        found[words[0]] = int(words[1].removeprefix("slots="))
    if not found:
        raise HostfileError(f"{path}: no hosts in it; write one line a host, such as `worker-1 slots=8`")
    return found
