"""Addresses: joined, brought to one form, and told apart by 128 bits."""

import contextlib
import posixpath
import re
from urllib.parse import unquote, urljoin, urlsplit

import xxhash

MOST = 4096
"""Characters of an address: longer ones are data, not places."""
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.I)
_UNWANTED = re.compile(r"[\t\n\r]")


def joined(base: str, given: str) -> str | None:
    """None: not the address of a file that could be had from anywhere."""
    given = _UNWANTED.sub("", given.strip())
    if not given or len(given) > MOST or given.startswith("#"):
        return None
    scheme = _SCHEME.match(given)
    if scheme and scheme[0].lower() not in ("http:", "https:", "file:"):
        return None
    try:
        return urljoin(base, given).partition("#")[0]
    except ValueError:  # such as an unclosed [ in a host
        return None


def key(url: str) -> bytes:
    """16 bytes. The same for http and https, and for %20 and a space; of a saved file for its path in the folder."""
    rest = url.partition("#")[0].partition("://")[2].lstrip("/")
    host, slash, path = rest.partition("/")
    if "%" in path:
        path = unquote(path, errors="surrogateescape")
    whole = f"{host.lower()}{slash}{path}" if not url.startswith("file:") else unquote(rest)
    # Half pairs of UTF-16 stand in some JSON, and stray bytes in names of files.
    return xxhash.xxh3_128_digest(whole.encode("utf-8", "surrogatepass"))


def host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def leads_out(page_path: str, given: str) -> bool:
    """Whether a relative address of a saved page would leave the folder that it was saved in."""
    given = unquote(given.strip())
    if _SCHEME.match(given) or given.startswith("//"):
        return given.lower().startswith("file:")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page_path), given.split("?")[0].lstrip("/")))
    return path.startswith("..")


def of_srcset(value: str) -> list[str]:
    """The addresses in a srcset, the largest first."""
    found: list[tuple[float, int, str]] = []
    for place, part in enumerate(re.split(r",\s+|,(?=https?:)|,(?=//)|,$", value.strip())):
        words = part.split()
        if not words:
            continue
        size = 1.0
        if len(words) > 1 and words[-1][-1] in "wx":
            with contextlib.suppress(ValueError):
                size = float(words[-1][:-1])
        found.append((-size, place, words[0].rstrip(",")))
    return [address for _, _, address in sorted(found)]
