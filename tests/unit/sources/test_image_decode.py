import io
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from nursery import ROOT, TESTS
from picture_files import drawn, encoded
from PIL import Image

from interbert.sources.images import decode
from interbert.sources.images.ahead import Ahead
from interbert.sources.images.containers.container import ImageError
from interbert.sources.images.decode import Limits
from interbert.sources.images.gate import Gate


def whole(width: int, height: int) -> None:
    return None


def decoded(data: bytes, megapixels: float = 128, wanted=whole) -> tuple[np.ndarray, tuple[int, int]]:
    with decode.decoded(data, Limits(megapixels), wanted) as picture:
        assert picture.image.mode == "RGB"
        return np.asarray(picture.image), picture.size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_the_pixels_are_those_of_pillow(kind):
    data = encoded(drawn(37, 23), kind)
    pixels, size = decoded(data)
    assert size == (37, 23)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_an_image_stands_upright_and_tells_its_size_so():
    image, exif = drawn(60, 40), Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP"):
        pixels, size = decoded(encoded(image, kind, exif=exif))
        assert size == (40, 60) and pixels.shape == (60, 40, 3)
    lying = decoded(encoded(image))[0]
    turned = decoded(encoded(image, exif=exif))[0]
    np.testing.assert_array_equal(turned, np.rot90(lying, -1))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_smaller_but_never_below_what_is_wanted(orientation):
    image, exif = drawn(1000, 600), Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, quality=95, exif=exif)
    asked = []

    def wanted(width: int, height: int) -> tuple[int, int]:
        asked.append((width, height))
        return width * 100 // 600, height * 100 // 600

    pixels, size = decoded(data, wanted=wanted)
    upright = (1000, 600) if orientation == 1 else (600, 1000)
    assert size == upright and asked == [upright]
    assert pixels.shape[:2] == (upright[1] // 4, upright[0] // 4)
    full = decoded(data)[0]
    averaged = np.asarray(
        Image.fromarray(full).resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.BOX)
    )
    assert np.abs(averaged.astype(int) - pixels).mean() < 1
    assert decoded(data, wanted=lambda width, height: (width, height))[0].shape == full.shape


def test_modes_that_pillow_would_spoil():
    deep = (np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16).copy()
    pixels, _ = decoded(encoded(Image.fromarray(deep), "PNG"))
    np.testing.assert_allclose(pixels[..., 0], deep // 256, atol=1)
    seen = Image.fromarray(np.full((4, 4, 4), 200, np.uint8))
    assert decoded(encoded(seen, "PNG"))[0].tolist() == np.full((4, 4, 3), 200).tolist()
    palette = drawn(9, 9).quantize(8)
    data = encoded(palette, "PNG", transparency=b"\0\x80\xff")
    assert decoded(data)[0].shape == (9, 9, 3)
    for mode in ("1", "L", "CMYK"):
        kind = "JPEG" if mode == "CMYK" else "PNG"
        assert decoded(encoded(drawn(9, 9).convert(mode), kind))[0].shape == (9, 9, 3)
    with pytest.raises(ImageError, match=r"pixels of 32 bits.*convert it to 8 bits"):
        decoded(encoded(drawn(9, 9).convert("F"), "TIFF"))


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (1_000_000, 129), (20_000, 6_500)]
)
def test_a_bomb_is_refused_by_its_header(size):
    began = time.perf_counter()
    with pytest.raises(ImageError, match="million: not decoded; --max-megapixels"):
        decoded(png_header(*size))
    assert time.perf_counter() - began < 1


def test_the_limit_is_the_users():
    data = encoded(drawn(100, 50))
    assert decoded(data, megapixels=0.005)[1] == (100, 50)
    with pytest.raises(ImageError, match=r"100 x 50 pixels by its header, more than 0\.0049 million"):
        decoded(data, megapixels=0.0049)


def test_whatever_a_decoder_says_is_a_bad_image(monkeypatch):
    good = encoded(drawn(64, 48))
    for data in (b"", b"text", good[:200], good[: len(good) // 2], png_header(64, 64)):
        with pytest.raises(ImageError, match="not a readable image"):
            decoded(data)
    for error in (
        SyntaxError("broken PNG file"),
        struct.error("unpack"),
        MemoryError(),
        RecursionError(),
        KeyError(3),
    ):
        monkeypatch.setattr(Image, "open", lambda *_, error=error, **__: (_ for _ in ()).throw(error))
        with pytest.raises(ImageError, match=type(error).__name__):
            decoded(good)
    monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        decoded(good)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is empty"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIC or AVIF, which is not decoded; convert it to JPEG"),
        (b"<html>404</html>", "a page or drawing"),
        (b"\0\0\0\x18ftypisom", r"it begins with b'.*ftypisom'"),
    ],
)
def test_what_is_no_image_is_told_by_what_it_is(data, told):
    with pytest.raises(ImageError, match=f"not a readable image: {told}"):
        decoded(data)


def test_programs_are_not_started_by_an_image():
    with pytest.raises(ImageError, match="not a readable image"):
        decoded(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")


def test_damaged_bytes_never_escape():
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        good = encoded(drawn(32, 24), kind)
        for _ in range(40):
            bad = bytearray(good)
            for place in rng.integers(0, len(bad), 6).tolist():
                bad[place] = int(rng.integers(256))
            try:
                pixels, _ = decoded(bytes(bad), megapixels=1)
            except ImageError:
                continue
            assert pixels.ndim == 3


def test_a_gate_lets_through_what_it_may():
    gate, held, most, lock = Gate(100), 0, 0, threading.Lock()

    def work(amount: int) -> None:
        nonlocal held, most
        for _ in range(20):
            with gate.holding(amount):
                with lock:
                    held += min(amount, 100)
                    most = max(most, held)
                time.sleep(0.0002)
                with lock:
                    held -= min(amount, 100)

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (10, 30, 60, 90, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert 90 <= most <= 100 and held == 0 and not any(thread.is_alive() for thread in threads)


MEMORY = """
import sys
sys.path[:0] = {paths!r}
from interbert.sources.images.decode import Limits
from interbert.sources.images.gate import Gate
from interbert.sources.images.containers.container import Fields
from interbert.sources.images.containers.recognise import open_containers
from interbert.sources.images.source import ImageSource
from plain_encoder import PlainEncoder
from pathlib import Path
containers = open_containers([Path({folder!r})], Fields())
def peak():  # in MB
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024
Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
before = peak()
limits = Limits(decoding=Gate({most} << 20))
with ImageSource(containers, PlainEncoder(), limits, threads=8) as source:
    for number in source.keys:
        source.read(number)
print("rose by", peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_large_images(tmp_path):
    data = encoded(
        Image.new("RGB", (3000, 3000), "green"), "PNG", compress_level=1
    )  # 36 MB each as Pillow keeps it
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(data)
    rose = {}
    for most in (80, 10_000):
        script = MEMORY.format(paths=[str(TESTS / "helpers"), str(ROOT)], folder=str(tmp_path), most=most)
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
        assert said.returncode == 0, said.stderr
        rose[most] = int(said.stdout.split()[-1])
    assert rose[80] < 120 < rose[10_000], "MB; and the test sees what it is about"


@pytest.mark.parametrize("in_order", [False, True])
def test_numbers_are_made_ahead_and_no_further(in_order):
    read, threads, lock = [], set(), threading.Lock()

    def reading(number: int) -> int:
        with lock:
            read.append(number)
            threads.add(threading.current_thread().name)
        return number

    def making(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number * number

    ahead = Ahead(reading, making, lambda _: in_order, threads=3, ahead=8)
    for number in range(5, 25):
        assert ahead.get(number, 25) == number * number
        assert max(read) < number + 8
    assert sorted(read) == list(range(5, 25))
    if in_order:
        assert read == sorted(read) and len(threads) == 1
    assert ahead.get(3, 25) == 9, "back again"
    ahead.close()


def test_an_error_in_a_thread_reaches_who_asks():
    ahead = Ahead(lambda number: 1 // number, lambda value: value, lambda _: True, threads=2, ahead=3)
    with pytest.raises(ZeroDivisionError):
        ahead.get(0, 9)
    ahead.close()
