"""Archives fetched from registries on this machine, by the clients themselves: whole, cut short, not there at all."""

import base64
import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from real_archives import like, write_tgz, write_wheel

from benchmarks.real_pairs import archives, fetch

NPM = archives.TEXTS
WHEEL = archives.ENCODER_CODE
_NAMED = "emojibase-data"


class Registry(BaseHTTPRequestHandler):
    """An npm registry and a simple index of one package each. `cut`: bytes of a file that are sent."""

    files: ClassVar[dict[str, bytes]] = {}
    cut: int | None = None

    def do_GET(self):
        host = f"http://127.0.0.1:{self.server.server_address[1]}"
        name = self.path.strip("/").rpartition("/")[2].partition("#")[0]
        if name in self.files:
            data = self.files[name]
            return self._send(data[: self.cut], "application/octet-stream", len(data[: self.cut]))
        if self.path == f"/{_NAMED}":
            data = self.files[NPM.file]
            integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
            dist = {"tarball": f"{host}/{NPM.file}", "integrity": integrity}
            version = {"name": _NAMED, "version": "17.0.0", "dist": dist}
            told = {"name": _NAMED, "dist-tags": {"latest": "17.0.0"}, "versions": {"17.0.0": version}}
            return self._send(json.dumps(told).encode(), "application/json")
        if self.path.startswith("/simple/efficientnet-lite-pytorch"):
            digest = hashlib.sha256(self.files[WHEEL.file]).hexdigest()
            link = f'<a href="{host}/{WHEEL.file}#sha256={digest}">{WHEEL.file}</a>'
            return self._send(f"<!DOCTYPE html><html><body>{link}</body></html>".encode(), "text/html")
        return self.send_error(404)

    def _send(self, data, kind, length=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def registry(tmp_path, monkeypatch):
    npm = write_tgz(
        tmp_path / "npm.tgz",
        {
            "package/package.json": json.dumps({"name": _NAMED, "version": "17.0.0"}).encode(),
            "package/a": bytes(99),
        },
    )
    info = "efficientnet_lite_pytorch-0.1.0.dist-info"
    wheel = write_wheel(
        tmp_path / "a.whl",
        {
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: efficientnet_lite_pytorch\nVersion: 0.1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        },
    )
    handler = type(
        "Own", (Registry,), {"files": {NPM.file: npm.read_bytes(), WHEEL.file: wheel.read_bytes()}}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    point(monkeypatch, server.server_address[1], tmp_path)
    yield handler, like(NPM, npm), like(WHEEL, wheel)
    server.shutdown()
    server.server_close()


def point(monkeypatch, port, folder):
    """Both clients at a port of this machine, without patience."""
    for name, value in {
        "npm_config_registry": f"http://127.0.0.1:{port}/",
        "npm_config_cache": str(folder / "cache"),
        "npm_config_fetch_retries": "0",
        "npm_config_update_notifier": "false",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": f"http://127.0.0.1:{port}/simple",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)


needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not here")


@pytest.mark.parametrize("client", [pytest.param("npm", marks=needs_npm), "pip"])
def test_fetched_and_kept(client, registry, tmp_path):
    handler, *both = registry
    archive = both[client == "pip"]
    path = fetch.fetch(archive, tmp_path / "kept", None)
    assert path.read_bytes() == handler.files[archive.file]
    handler.files = {}  # what is there is not asked for again
    assert fetch.fetch(archive, tmp_path / "kept", None) == path
    assert [one.name for one in path.parent.iterdir()] == [archive.file]


@pytest.mark.parametrize("client", [pytest.param("npm", marks=needs_npm), "pip"])
def test_cut_on_its_way(client, registry, tmp_path):
    handler, *both = registry
    archive = both[client == "pip"]
    handler.cut = 60
    with pytest.raises(fetch.FetchError, match=f"was not to be had .{client} says: .*COPIES=DIR"):
        fetch.fetch(archive, tmp_path / "kept", None)
    assert list((tmp_path / "kept").iterdir()) == []
    handler.cut = None
    assert fetch.fetch(archive, tmp_path / "kept", None).is_file()


@pytest.mark.parametrize("client", [pytest.param("npm", marks=needs_npm), "pip"])
def test_no_registry(client, tmp_path, monkeypatch):
    closed = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    closed.server_close()
    point(monkeypatch, closed.server_address[1], tmp_path)
    archive = {"npm": NPM, "pip": WHEEL}[client]
    with pytest.raises(fetch.FetchError) as told:
        fetch.fetch(archive, tmp_path / "kept", None)
    assert f"{archive.package} was not to be had ({client} says: " in str(told.value)
    assert f"put {archive.file} (sha256 {archive.sha256}) into a folder" in str(told.value)
