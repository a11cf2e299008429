"""Whether a page or an image opts out of such use: in headers and meta elements."""

import re

_OPT_OUTS = ("noai", "noimageai", "noindex", "noimageindex", "none")
_AGENT = re.compile(r"^\s*(?:\*|[a-z0-9_-]+)\s*:\s*", re.I)


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
