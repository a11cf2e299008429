"""People's own images: finding them in a folder, and opening them."""

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class ImageError(ValueError):
    """An image that cannot be read, or a folder without any."""


def find_images(folder: Path) -> list[Path]:
    """All images below a folder, by name."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    if not found:
        raise ImageError(f"{folder}: no image there; endings looked for: {', '.join(ENDINGS)}")
    return found


def image_id(folder: Path, path: Path) -> str:
    """The path below the folder, without the ending."""
    return path.relative_to(folder).with_suffix("").as_posix()


def open_image(path: Path) -> Image.Image:
    """In RGB, upright as its camera meant it."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"not a readable image ({error})") from None
