"""Archives in miniature, as registries give them: emoji of three artists, their texts, stamps."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.real_pairs import archives
from benchmarks.real_pairs.archives import Archive

THINGS = {
    "1f431": ("cat face", "猫脸", ["pet", "whiskers"]),
    "1f408": ("cat", "猫", ["pet"]),
    "1f468-200d-1f33e": ("man farmer", "农夫", ["garden"]),
    "1f469-200d-1f33e": ("woman farmer", "农妇", ["garden"]),
    "2716-fe0f": ("multiply", "乘", ["sign", "x"]),
    **{f"1f60{n}": (f"thing number{n} {word}", f"东西{n}", [word]) for n, word in enumerate("abcdefghi")},
}
"""English and Chinese name and keywords by code points."""
SKINNED = "1f44b"
STAMPS = {
    "animals/dog": ("A dog.", "狗。"),
    "food/apple": ("An apple.", None),
    "town/car": ("A car.", "汽车。"),
}


def drawn(seed: int, kind: str = "PNG") -> bytes:
    """A few colours on nothing."""
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 4), dtype=np.uint8)
    pixels[:4, :, 3] = 0
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return kept.getvalue()


def texts_of(language: int) -> list[dict]:
    found = [
        {"label": told[language], "hexcode": key.upper(), "group": 0, "tags": told[2] if not language else []}
        for key, told in THINGS.items()
    ]
    wave = {"label": ("waving hand", "挥手")[language], "hexcode": SKINNED.upper(), "group": 0}
    dark = {"label": f"{wave['label']}: {('dark skin tone', '较深肤色')[language]}", "hexcode": "1F44B-1F3FF"}
    return [*found, wave | {"skins": [dark]}, {"label": "regional indicator A", "hexcode": "1F1E6"}]


def files_of(archive: Archive) -> dict[str, bytes]:
    if archive == archives.TEXTS:
        return {
            f"package/{name}/data.json": json.dumps(texts_of(n)).encode()
            for n, name in enumerate(("en", "zh"))
        }
    keys = [*THINGS, SKINNED, f"{SKINNED}-1f3ff", "1f9ff"]
    if archive == archives.FLUENT:
        return {f"package/assets/{key}.webp": drawn(n, "WEBP") for n, key in enumerate(keys)}
    artist = archive.package.partition("@")[0].rpartition("-")[2]
    return {f"package/img/{artist}/64/{key}.png": drawn(100 + n) for n, key in enumerate(keys)}


def write_tgz(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def write_wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
    return path


def write_deb(path: Path) -> Path:
    tree = path.with_suffix(".tree")
    for name, (english, chinese) in STAMPS.items():
        file = tree / "usr/share/tuxpaint/stamps" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".png").write_bytes(drawn(len(name)))
        lines = [english, "de.utf8=Etwas.", *([f"zh_CN.utf8={chinese}"] if chinese else [])]
        file.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    (tree / "usr/share/tuxpaint/stamps/food/untold.png").write_bytes(drawn(1))
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: stamps\nVersion: 1\nArchitecture: all\nMaintainer: no <no@example.org>\nDescription: stamps\n"
    )
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, path], check=True, capture_output=True)
    shutil.rmtree(tree)
    return path


def write_all(folder: Path, stamps: bool) -> dict[str, Path]:
    """By package, as `fetch_all` gives them."""
    emoji = (*archives.ARTISTS.values(), archives.TEXTS)
    found = {one.package: write_tgz(folder / one.file, files_of(one)) for one in emoji}
    if stamps:
        found[archives.STAMPS.package] = write_deb(folder / archives.STAMPS.file)
    return found


def like(archive: Archive, path: Path) -> Archive:
    """The archive, if the file at `path` were it."""
    data = path.read_bytes()
    return replace(archive, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
