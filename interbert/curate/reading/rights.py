"""What a page says of its use: opt-outs in headers and meta elements, licences in links and JSON-LD."""

import re

_OPT_OUTS = ("noai", "noimageai", "noindex", "noimageindex", "none")
_AGENT = re.compile(r"^\s*(?:\*|[a-z0-9_-]+)\s*:\s*", re.I)
_LICENCE = re.compile(r"creativecommons\.org/(licenses|publicdomain)/|/licen[sc]e", re.I)


def opt_out(directives: str) -> str:
    """The first word of an X-Robots-Tag header, or of a robots meta element, by which it opts out."""
    for part in directives.lower().split(","):
        agent = _AGENT.match(part)
        if agent:
            # Of a rule for one crawler only: not for us, unless it is for all.
            part = part[agent.end() :] if agent[0].strip(" :") == "*" else ""
        if part.strip() in _OPT_OUTS:
            return part.strip()
    return ""


def looks_like_licence(address: str) -> bool:
    return bool(_LICENCE.search(address))
