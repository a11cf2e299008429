"""Letters for pictures: Pillow's own, and for Chinese a font of this machine that has its characters."""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from interbert.script import is_wide

log = logging.getLogger(__name__)

FONT_FILE = "INTERBERT_FONT"
"""Names a font file to be taken for Chinese, where none is installed."""
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
_FOLDERS += ("/System/Library/Fonts", "/Library/Fonts", "C:/Windows/Fonts")
_NAMES = (
    "NotoSansCJK",
    "SourceHanSans",
    "wqy-microhei",
    "wqy-zenhei",
    "DroidSansFallback",
    "PingFang",
    "msyh",
)
_NAMES += ("NotoSerifCJK", "uming", "ukai")
"""How the names of usual files begin, the best for captions first."""
_SAMPLE, _NOT_THERE = "红", "\U0010fffe"


@lru_cache(maxsize=64)
def _font(path: str | None, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size) if path is None else ImageFont.truetype(path, size)


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont:
    """A font that has the characters of the text, as far as there is one."""
    return _font(chinese_font() if is_wide(text) else None, size)


@lru_cache(maxsize=1)
def chinese_font() -> str | None:
    """A font file with Chinese characters; where there is none it is said once what helps."""
    named = os.environ.get(FONT_FILE)
    if named and not _has_chinese(named):
        raise ValueError(
            f"{FONT_FILE}={named}: is no font file with Chinese characters; name one, or unset it"
        )
    found = named or next(filter(_has_chinese, [*_told_by_fontconfig(), *_files()]), None)
    if found is None:
        log.warning(
            "no font of this machine has Chinese characters: pictures show boxes in their place. Install one "
            "(Debian: apt-get install fonts-wqy-microhei, or fonts-noto-cjk), or name a font file in %s",
            FONT_FILE,
        )
    return found


def _told_by_fontconfig() -> list[str]:
    if shutil.which("fc-list") is None:
        return []
    try:
        told = subprocess.run(
            ["fc-list", ":lang=zh-cn", "file"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return _best_first(line.strip().rstrip(":") for line in told.splitlines() if line.strip())


def _files() -> list[str]:
    folders = [Path(folder).expanduser() for folder in _FOLDERS]
    files = (str(path) for folder in folders if folder.is_dir() for path in folder.rglob("*.[ot]t[fc]"))
    return _best_first(path for path in files if Path(path).name.startswith(_NAMES))


def _best_first(paths: Iterable[str]) -> list[str]:
    """In an order of their own: what a folder lists first is chance."""

    def place(path: str) -> tuple[int, bool, str]:
        name = Path(path).name
        rank = next((rank for rank, start in enumerate(_NAMES) if name.startswith(start)), len(_NAMES))
        return rank, "Regular" not in name, path

    return sorted(paths, key=place)


def _has_chinese(path: str) -> bool:
    """Whether it draws a character otherwise than one that no font has."""
    try:
        font = ImageFont.truetype(path, 24)
        return bytes(font.getmask(_SAMPLE)) != bytes(font.getmask(_NOT_THERE))
    except (OSError, ValueError):
        return False
