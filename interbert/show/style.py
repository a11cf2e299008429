"""What our pages have in common: colours by day and by night, letters, pictures of regions."""

from interbert.printing import in_page
from interbert.script import language_of

COLOURS = 8
"""--c0 to --c7, of regions."""
BASE = """
:root {
  --paper: #fff; --ink: #212529; --soft: #6a7280; --rule: #dee2e6; --bar: #0072b2; --warn: #b45309;
  --good: #1a7f4b; --card: #f8f9fa;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc52a0;
  --c4: #785ec8; --c5: #b08000; --c6: #1f9ec8; --c7: #b03040;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181c; --ink: #e6e8eb; --soft: #9aa3ad; --rule: #343a40; --bar: #56b4e9; --warn: #f0a848;
    --good: #4cc98a; --card: #1e2126;
    --c0: #56b4e9; --c1: #f08c3c; --c2: #2fc99a; --c3: #e58cc6;
    --c4: #a894f0; --c5: #e0b030; --c6: #6cc8ee; --c7: #ee7080;
  }
}
body {
  background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", sans-serif;
  margin: 2rem auto; padding: 0 1.2rem;
}
h1 { font-size: 1.4rem }
h2 { font-size: 1.1rem; margin-top: 2.2rem }
figure { margin: 0 }
figcaption { color: var(--soft); font-size: .85rem }
svg { width: 100%; height: auto; display: block }
.scene { border: 1px solid var(--rule); max-height: 380px }
.scene rect { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke }
.scene rect:hover { fill: var(--rule); fill-opacity: .5 }
.scene text { fill: var(--soft); font-size: 3.2px; paint-order: stroke; stroke: var(--paper); stroke-width: .9px }
"""


def said(tag: str, text: str, attributes: str = "") -> str:
    """The text as an element, which says its language where that decides how its characters are drawn."""
    language = language_of(text)
    return f"<{tag}{attributes}{f' lang={language}' if language else ''}>{in_page(text)}</{tag}>"
